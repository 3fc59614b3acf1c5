/* report_junit.c - a run for CI servers: a suite for each contract, path, dtype and feature, a test for each case; see report.h. */
#include <libxml/xmlwriter.h>
#include <stdlib.h>

#include "output_file.h"
#include "report.h"

/* What a suite is about: a contract, path, dtype and feature; or with contract SGD_CONTRACT_COUNT, what nobody could judge. */
typedef struct suite_key {
    int contract, path, dtype, feature;
} suite_key;

static const suite_key unjudged_key = {.contract = SGD_CONTRACT_COUNT};

static suite_key key_of(const report *from, size_t number)
{
    if (from->results->cases[number].unjudged)
        return unjudged_key;
    conform_case its = conform_suite_case(from->suite, number);
    return (suite_key){vectors_contract(its.file, its.row), its.file->cases.path[its.row], vectors_dtype(its.file, its.row),
                       vectors_feature_of(its.file, its.row)};
}

static bool same_key(suite_key a, suite_key b)
{
    return a.contract == b.contract && a.path == b.path && a.dtype == b.dtype && a.feature == b.feature;
}

static bool attribute(xmlTextWriter *xml, const char *name, const char *value)
{
    return xmlTextWriterWriteAttribute(xml, BAD_CAST name, BAD_CAST value) >= 0;
}

static bool attribute_count(xmlTextWriter *xml, const char *name, size_t value)
{
    return xmlTextWriterWriteFormatAttribute(xml, BAD_CAST name, "%zu", value) >= 0;
}

static bool start(xmlTextWriter *xml, const char *element) { return xmlTextWriterStartElement(xml, BAD_CAST element) >= 0; }

static bool end(xmlTextWriter *xml) { return xmlTextWriterEndElement(xml) >= 0; }

/* Whether XML can hold it; libxml2 writes other bytes as they are.  Names of files and of the program are anything. */
static bool is_xml_text(const char *text)
{
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' && *at != '\n' && *at != '\t' && *at != '\r')
            return false;
    return xmlCheckUTF8(BAD_CAST text);
}

/* All failures of a case as one element, as JUnit's readers expect. */
static bool write_failures(xmlTextWriter *xml, const report *from, size_t number)
{
    const conform_case_result *result = &from->results->cases[number];
    char who[WHO_SIZE];
    char *text = NULL;
    size_t size = 0;
    FILE *lines = open_memstream(&text, &size);
    if (!lines)
        return false;
    for (size_t k = 0; k < result->failure_count; k++)
        failure_print(from, number, &result->failures[k], "", lines);
    failure_who(&result->failures[0], who);
    fclose(lines);
    bool done = is_xml_text(text) && is_xml_text(who) && start(xml, "failure") &&
                attribute(xml, "type", difference_name(result->failures[0].what.kind)) &&
                attribute(xml, "message", who) && xmlTextWriterWriteString(xml, BAD_CAST text) >= 0 && end(xml);
    free(text);
    return done;
}

static bool write_skipped(xmlTextWriter *xml, const char *reason)
{
    return !reason || (start(xml, "skipped") && attribute(xml, "message", reason) && end(xml));
}

static bool write_case(xmlTextWriter *xml, const report *from, size_t number, const char *classname)
{
    char name[VECTORS_NAME_SIZE];
    const conform_case_result *result = &from->results->cases[number];
    conform_suite_case_name(from->suite, number, name);
    return start(xml, "testcase") && attribute(xml, "classname", classname) && attribute(xml, "name", name) &&
           (!result->failure_count || write_failures(xml, from, number)) && write_skipped(xml, result->unjudged) && end(xml);
}

static void suite_name(suite_key key, char *name)
{
    if (same_key(key, unjudged_key))
        snprintf(name, VECTORS_NAME_SIZE, "not judged");
    else
        snprintf(name, VECTORS_NAME_SIZE, "%s/%s/%s%s%s", sgd_contract_name((sgd_contract)key.contract),
                 sgd_path_name((sgd_path)key.path), vectors_dtype_name((sgd_dtype)key.dtype), key.feature ? "/" : "",
                 key.feature ? vectors_feature_name((vectors_feature)key.feature) : "");
}

/* Nothing where the suite has no case. */
static bool write_suite(xmlTextWriter *xml, const report *from, suite_key key)
{
    char name[VECTORS_NAME_SIZE];
    size_t tests = 0, failures = 0;
    for (size_t i = 0; i < from->results->case_count; i++)
        if (same_key(key_of(from, i), key)) {
            tests++;
            failures += from->results->cases[i].failure_count > 0;
        }
    if (!tests)
        return true;
    suite_name(key, name);
    bool done = start(xml, "testsuite") && attribute(xml, "name", name) && attribute_count(xml, "tests", tests) &&
                attribute_count(xml, "failures", failures) && attribute_count(xml, "errors", 0) &&
                attribute_count(xml, "skipped", same_key(key, unjudged_key) ? tests : 0);
    for (size_t i = 0; done && i < from->results->case_count; i++)
        if (same_key(key_of(from, i), key))
            done = write_case(xml, from, i, name);
    return done && end(xml);
}

/* All features of a cell. */
static bool write_cell(xmlTextWriter *xml, const report *from, suite_key key)
{
    bool done = true;
    for (key.feature = 0; done && key.feature < VECTORS_FEATURE_COUNT; key.feature++)
        done = write_suite(xml, from, key);
    return done;
}

static bool write_all(xmlTextWriter *xml, const report *from)
{
    const conform_results *results = from->results;
    bool done = xmlTextWriterSetIndent(xml, 1) >= 0 && xmlTextWriterStartDocument(xml, NULL, "UTF-8", NULL) >= 0 &&
                start(xml, "testsuites") && attribute(xml, "name", "sgd-conform") &&
                attribute_count(xml, "tests", results->case_count) &&
                attribute_count(xml, "failures", results->total.failed);
    suite_key key;
    for (key.contract = 0; key.contract < SGD_CONTRACT_COUNT; key.contract++)
        for (key.path = 0; key.path < SGD_PATH_COUNT; key.path++)
            for (key.dtype = 0; key.dtype <= SGD_DTYPE_COUNT; key.dtype++)
                if (done && results->cells[key.contract][key.path][key.dtype].cases)
                    done = write_cell(xml, from, key);
    return done && write_suite(xml, from, unjudged_key) && xmlTextWriterEndDocument(xml) >= 0;
}

bool report_junit(const report *from, const char *path, conform_error *error)
{
    xmlBuffer *buffer = xmlBufferCreate();
    xmlTextWriter *xml = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL;
    bool done = xml && write_all(xml, from);
    if (xml)
        xmlFreeTextWriter(xml);
    if (!done)
        conform_fail(error, "%s: output: out of memory, or a file name that is not printable UTF-8", path);
    done = done && output_file_write(path, xmlBufferContent(buffer), (size_t)xmlBufferLength(buffer), error);
    if (buffer)
        xmlBufferFree(buffer);
    return done;
}

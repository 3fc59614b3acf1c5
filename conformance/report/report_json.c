/* report_json.c - a run for programs; the schema is in README.md. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "output_file.h"
#include "report.h"

#define SCHEMA "exactsgd-conformance"
#define SCHEMA_VERSION 1

static json_t *size_json(size_t value) { return json_integer((json_int_t)value); }

static json_t *bits_json(uint64_t bits)
{
    char text[24];
    snprintf(text, sizeof text, "0x%llX", (unsigned long long)bits);
    return json_string(text);
}

/* ---- where it ran -------------------------------------------------------------------------------------------------- */

static json_t *environment_json(const report *from)
{
    char cpu[MACHINE_CPU_SIZE];
    json_t *run = json_array(), *absent = json_array(), *configurations = json_array();
    for (int isa = 0; isa < SGD_ISA_COUNT; isa++) {
        json_t *name = json_string(sgd_isa_name((sgd_isa)isa));
        if (!sgd_isa_available((sgd_isa)isa))
            json_array_append(absent, name);
        else if (report_has_isa(from, (sgd_isa)isa))
            json_array_append(run, name);
        json_decref(name);
    }
    for (size_t i = 0; i < from->subject_count; i++) {
        const conform_subject *subject = &from->subjects[i];
        json_array_append_new(configurations,
                              json_pack("{s:s, s:s, s:I, s:s}", "backend", subject->name, "schedule",
                                        sgd_schedule_name(subject->schedule), "threads", (json_int_t)subject->threads,
                                        "defects", defects_name(subject->defects)));
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "library_version", SGD_VERSION, "cpu", machine_cpu(cpu), "isa_run", run,
                     "isa_not_on_this_machine", absent, "configurations", configurations);
}

static json_t *vectors_json(const report *from)
{
    json_t *list = json_array();
    for (size_t i = 0; i < conform_suite_file_count(from->suite); i++) {
        const vectors *file = conform_suite_file(from->suite, i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:o}", "file", file->file, "source", file->source,
                                              "torch_version", file->torch_version, "torch_commit", file->torch_commit,
                                              "cases", size_json(file->cases.count)));
    }
    return list;
}

/* ---- counts -------------------------------------------------------------------------------------------------------- */

static json_t *cell_json(const conform_cell *cell)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "cases", size_json(cell->cases), "oracle_bit_equal",
                     size_json(cell->oracle_equal), "library_bit_equal", size_json(cell->library_equal),
                     "nan_payload_only", size_json(cell->nan_payload), "failed", size_json(cell->failed));
}

static json_t *cells_json(const report *from)
{
    json_t *list = json_array();
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype <= SGD_DTYPE_COUNT; dtype++) {
                const conform_cell *cell = &from->results->cells[contract][path][dtype];
                if (!cell->cases)
                    continue;
                json_t *row = json_pack("{s:s, s:s, s:s}", "contract", sgd_contract_name((sgd_contract)contract), "path",
                                        sgd_path_name((sgd_path)path), "dtype", vectors_dtype_name((sgd_dtype)dtype));
                json_t *counts = cell_json(cell);
                json_object_update(row, counts);
                json_decref(counts);
                json_array_append_new(list, row);
            }
    return list;
}

static json_t *features_json(const report *from)
{
    json_t *list = json_array();
    for (int feature = 0; feature < VECTORS_FEATURE_COUNT; feature++) {
        if (!from->results->features[feature].cases)
            continue;
        json_t *row = json_pack("{s:s}", "feature", vectors_feature_name((vectors_feature)feature));
        json_t *counts = cell_json(&from->results->features[feature]);
        json_object_update(row, counts);
        json_decref(counts);
        json_array_append_new(list, row);
    }
    return list;
}

static void append_unjudged(void *list, const unjudged_cases *which)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "contract", which->contract, "reason", which->reason, "cases",
                                          size_json(which->cases)));
}

static json_t *unjudged_json(const report *from)
{
    json_t *list = json_array();
    report_unjudged(from, append_unjudged, list);
    return list;
}

static json_t *matches_json(const size_t *matches)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "both", size_json(matches[CONFORM_BOTH]), "torch",
                     size_json(matches[CONFORM_TORCH]), "specification", size_json(matches[CONFORM_SPECIFICATION]),
                     "neither", size_json(matches[CONFORM_NEITHER]));
}

static json_t *defects_json(const report *from)
{
    const ledger *ledger = conform_suite_ledger(from->suite);
    json_t *list = json_array();
    for (size_t i = 0; i < ledger->count; i++) {
        const conform_defect_tally *tally = &from->results->defects[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", ledger->defects[i].id, "link",
                            ledger->defects[i].link, "cases", size_json(tally->cases), "masked_elements",
                            size_json(tally->masked_chance), "masked_open_nan_elements",
                            size_json(tally->masked_open_nan), "reproduce",
                            matches_json(tally->matches[SGD_DEFECTS_REPRODUCE]), "fix",
                            matches_json(tally->matches[SGD_DEFECTS_FIX])));
    }
    return list;
}

/* ---- failures ------------------------------------------------------------------------------------------------------ */

static void add_values(json_t *row, const difference *what)
{
    char expected[ELEMENT_TEXT_SIZE], actual[ELEMENT_TEXT_SIZE];
    element_text(dtype_part(what->dtype), what->expected, expected);
    element_text(dtype_part(what->dtype), what->actual, actual);
    json_object_set_new(row, "index", size_json(what->index));
    if (*part_name(what))
        json_object_set_new(row, "part", json_string(part_name(what) + 1));
    if (what->segment != SGD_SEGMENT_ANY)
        json_object_set_new(row, "segment", json_string(sgd_segment_name(what->segment)));
    json_object_set_new(row, "elements", size_json(what->numel));
    json_object_set_new(row, "elements_different", size_json(what->count));
    json_object_set_new(row, "expected_value", json_string(expected));
    json_object_set_new(row, "actual_value", json_string(actual));
}

static json_t *command_json(const report *from, size_t number, const conform_failure *failure)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    failure_command(from, number, failure, out);
    fclose(out);
    json_t *command = json_string(text);
    free(text);
    return command;
}

static json_t *failure_json(const report *from, size_t number, const conform_failure *failure)
{
    char name[VECTORS_NAME_SIZE], who[WHO_SIZE];
    const char *file = conform_suite_case(from->suite, number).file->file;
    const difference *what = &failure->what;
    conform_suite_case_name(from->suite, number, name);
    failure_who(failure, who);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o}", "case", name, "file", file, "who", who, "against",
        failure->wanted == CONFORM_SPECIFICATION ? "specification" : "torch", "kind", difference_name(what->kind), "step",
        size_json(what->step), "tensor", size_json(what->tensor), "array", array_name(what->array), "command",
        command_json(from, number, failure));
    if (!object)
        return NULL;
    if (what->kind == DIFFERENCE_BITS || what->kind == DIFFERENCE_HASH) {
        json_object_set_new(object, "expected", bits_json(what->expected));
        json_object_set_new(object, "actual", bits_json(what->actual));
    }
    if (what->kind == DIFFERENCE_BITS)
        add_values(object, what);
    if (what->kind == DIFFERENCE_STATUS || what->kind == DIFFERENCE_LAYOUT || what->kind == DIFFERENCE_ENTRIES)
        json_object_set_new(object, "message", json_string(what->message));
    return object;
}

static json_t *failures_json(const report *from)
{
    json_t *list = json_array();
    for (size_t i = 0; i < from->results->case_count; i++)
        for (size_t k = 0; k < from->results->cases[i].failure_count; k++)
            if (json_array_append_new(list, failure_json(from, i, &from->results->cases[i].failures[k]))) {
                json_decref(list);
                return NULL;
            }
    return list;
}

bool report_json(const report *from, const char *path, conform_error *error)
{
    json_t *root = json_pack("{s:s, s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", SCHEMA, "schema_version",
                             SCHEMA_VERSION, "conforms", conform_accepted(from->results), "environment",
                             environment_json(from), "vectors", vectors_json(from), "cells", cells_json(from), "features",
                             features_json(from), "totals", cell_json(&from->results->total), "not_judged",
                             unjudged_json(from), "defects", defects_json(from), "failures",
                             failures_json(from));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text)
        return conform_fail(error, "%s: output: out of memory, or a file name that is not UTF-8", path);
    bool done = output_file_write(path, text, strlen(text), error);
    free(text);
    return done;
}

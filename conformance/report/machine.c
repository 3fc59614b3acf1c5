/* machine.c - see machine.h. */
#include "machine.h"

#include <stdio.h>
#include <string.h>

const char *machine_cpu(char *text)
{
    char line[256];
    snprintf(text, MACHINE_CPU_SIZE, "unknown");
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && fgets(line, sizeof line, info)) {
        const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (value) {
            snprintf(text, MACHINE_CPU_SIZE, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
            break;
        }
    }
    if (info)
        fclose(info);
    return text;
}

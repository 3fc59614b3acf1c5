/* machine.h - what this machine calls its processor. */
#ifndef CONFORM_MACHINE_H
#define CONFORM_MACHINE_H

#define MACHINE_CPU_SIZE 128

/* Writes the processor's name, "unknown" where the system does not tell, and returns `text`. */
const char *machine_cpu(char *text);

#endif

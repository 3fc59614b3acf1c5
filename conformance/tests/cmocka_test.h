/* cmocka_test.h - cmocka with what it needs before it. */
#ifndef CONFORM_CMOCKA_TEST_H
#define CONFORM_CMOCKA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

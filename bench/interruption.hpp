/* interruption.hpp - SIGINT and SIGTERM end a run between two repetitions, with what there is so far. */
#pragma once

/* While it lives, the first of the two signals is noted, the second has its former effect. */
class Interruption {
public:
    Interruption();
    ~Interruption();
    Interruption(const Interruption &) = delete;
    Interruption &operator=(const Interruption &) = delete;

    static bool noted();
};

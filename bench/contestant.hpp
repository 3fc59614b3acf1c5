/* contestant.hpp - what steps a block's tensors: the library, or an implementation of the host's (session.h). */
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cases.hpp"
#include "session.h"
#include "tensors.hpp"

/* Which bits a contestant gives. */
struct Promise {
    bool checked;    /* false: none; `why` says so */
    std::string why;
    sgd_defects defects;
    unsigned torch_threads; /* the torch.get_num_threads() whose 16-bit segments they have */

    bool operator==(const Promise &other) const
    {
        return checked == other.checked && defects == other.defects && torch_threads == other.torch_threads;
    }
};

class Contestant {
public:
    virtual ~Contestant() = default;

    /* One step over all tensors: what is timed.  False where it failed; failure() then says why. */
    virtual bool step() = 0;
    virtual std::string failure() = 0;

    /* The momentum buffers, contiguous; false where it cannot tell. */
    virtual bool buffers(std::vector<DLTensor> *out) = 0;

    /* Its own word on the bytes that a step takes beyond the state; -1: none. */
    virtual long long peak_memory() { return -1; }

    Promise promise{};
};

/* A contestant without momentum buffers over these tensors, which must outlive it.  NULL, with the reason, where the
 * implementation does not have the case.  Throws std::runtime_error where something breaks. */
std::unique_ptr<Contestant> contestant_open(const Case &one, Tensors *tensors, const sgd_bench_host *host, std::string *why);

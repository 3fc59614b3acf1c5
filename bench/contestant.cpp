/* contestant.cpp - ours and the host's. */
#include "contestant.hpp"

#include <stdexcept>

/* ---- ours -------------------------------------------------------------------------------------------------------- */

class Ours : public Contestant {
public:
    Ours(const Case &one, sgd_schedule schedule, Tensors *tensors)
    {
        for (size_t i = 0; i < tensors->count(); i++)
            gradients_.push_back(&tensors->gradients()[i]);
        sgd_options options = one.hyper->options(one.path);
        sgd_config config = sgd_config_default();
        config.backend = bench_backend();
        config.contract = one.contract;
        config.schedule = schedule;
        config.threads = config.torch_threads = one.threads;
        if (sgd_optimizer_create(&options, &config, tensors->params(), tensors->count(), &optimizer_, &error_))
            throw std::runtime_error(error_.message);
        promise = {true, "", config.defects, config.torch_threads};
    }
    ~Ours() override { sgd_optimizer_destroy(optimizer_); }

    bool step() override { return sgd_optimizer_step(optimizer_, gradients_.data(), gradients_.size(), &error_) == SGD_OK; }
    std::string failure() override { return error_.message; }
    bool buffers(std::vector<DLTensor> *out) override
    {
        out->resize(gradients_.size());
        for (size_t i = 0; i < out->size(); i++)
            if (sgd_optimizer_momentum_buffer(optimizer_, i, &(*out)[i], &error_))
                return false;
        return true;
    }

private:
    std::vector<DLTensor *> gradients_;
    sgd_optimizer *optimizer_ = nullptr;
    sgd_error error_{};
};

/* ---- the host's -------------------------------------------------------------------------------------------------- */

class Hosts : public Contestant {
public:
    Hosts(const sgd_bench_host *host, const sgd_bench_contestant &opened, const Case &one, size_t count)
        : host_(host), callable_(opened.callable), count_(count)
    {
        promise.checked = opened.checked != 0;
        promise.why = opened.why ? opened.why : "";
        promise.defects = opened.has_defects ? SGD_DEFECTS_REPRODUCE : SGD_DEFECTS_FIX;
        promise.torch_threads = opened.torch_threads ? opened.torch_threads : one.threads;
    }
    ~Hosts() override { host_->close(host_->context, callable_); }

    bool step() override
    {
        void *result = host_->step(callable_);
        if (!result)
            return false;
        host_->drop(result);
        return true;
    }
    std::string failure() override
    {
        if (host_->recover)
            host_->recover();
        const char *text = host_->failure ? host_->failure(host_->context, callable_) : nullptr;
        return text ? text : "its step failed";
    }
    bool buffers(std::vector<DLTensor> *out) override
    {
        out->assign(count_, DLTensor{});
        return host_->buffers(host_->context, callable_, out->data()) == 0;
    }
    long long peak_memory() override { return host_->peak_memory ? host_->peak_memory(host_->context, callable_) : -1; }

private:
    const sgd_bench_host *host_;
    void *callable_;
    size_t count_;
};

static std::unique_ptr<Contestant> open_hosts(const Case &one, Tensors *tensors, const sgd_bench_host *host, std::string *why)
{
    const sgd_options options = one.hyper->options(one.path);
    const std::string name = one.name(), contract = contract_short_name(one.contract);
    sgd_bench_case which{};
    which.struct_size = sizeof which;
    which.name = name.c_str();
    which.path = sgd_path_name(one.path);
    which.implementation = one.implementation.c_str();
    which.dtype = sgd_dtype_name(one.dtype);
    which.shapes = one.shapes->name.c_str();
    which.hyper = one.hyper->name.c_str();
    which.contract = contract.c_str();
    which.device = "cpu";
    which.threads = one.threads;
    which.lr = options.lr;
    which.momentum = options.momentum;
    which.dampening = options.dampening;
    which.weight_decay = options.weight_decay;
    which.nesterov = options.nesterov;
    sgd_bench_tensors lent{sizeof lent, tensors->count(), tensors->params(), tensors->gradients()};
    sgd_bench_contestant opened{};
    opened.struct_size = sizeof opened;
    int broken = host->open(host->context, &which, &lent, &opened);
    *why = opened.why ? opened.why : "no reason given";
    if (broken)
        throw std::runtime_error(*why);
    return opened.callable ? std::make_unique<Hosts>(host, opened, one, tensors->count()) : nullptr;
}

std::unique_ptr<Contestant> contestant_open(const Case &one, Tensors *tensors, const sgd_bench_host *host, std::string *why)
{
    sgd_schedule schedule;
    if (one.is_ours(&schedule))
        return std::make_unique<Ours>(one, schedule, tensors);
    return open_hosts(one, tensors, host, why);
}

/* work.c - spreads lists of tensors over threads and segments, and hands each run to a kernel; see work.h. */
#include <omp.h>
#include <string.h>

#include "work.h"

/* Below this many bytes of params a second thread costs more than it saves: waking it takes some 2 us.  Measured with one f32
 * tensor, momentum and weight decay, medians of 31 interleaved rounds on two cores of Zen 4, on one thread and on two: 128 KiB 3.8
 * and 4.3 us, 192 KiB 5.5 and 5.2 us, 256 KiB 7.8 and 6.1 us. */
#define PARALLEL_BYTES (192 * 1024)
/* OpenMP ends the process where it cannot make as many threads as it is asked for. */
#define MOST_THREADS 1024
/* Threads share a tensor at multiples of this many elements: where it is aligned, they write no cache line in common. */
#define SPLIT_ELEMENTS 64

static sgd_dtype item_dtype(const work *work, size_t i)
{
    return work->tensors ? work->tensors[i].dtype : work->operands[i].dtype;
}

static size_t item_numel(const work *work, size_t i)
{
    return work->tensors ? work->tensors[i].numel : work->operands[i].numel;
}

static void *offset(const void *memory, size_t bytes) { return memory ? (char *)memory + bytes : NULL; }

step_run cut_run(segmenting segmenting, const sgd_step_tensor *tensor, size_t begin, size_t end)
{
    segment axpy = segment_of(segmenting, SGD_OP_AXPY, begin);
    segment scale = axpy, addcmul = axpy;
    if (tensor->dtype == SGD_C64) { /* the only one whose operations differ */
        scale = segment_of(segmenting, SGD_OP_SCALE, begin);
        addcmul = segment_of(segmenting, SGD_OP_ADDCMUL, begin);
    }
    end = axpy.end < end ? axpy.end : end;
    end = scale.end < end ? scale.end : end;
    end = addcmul.end < end ? addcmul.end : end;
    size_t bytes = begin * sgd_dtype_size(tensor->dtype);
    return (step_run){.axpy = (uint8_t)axpy.rounding,
                      .scale = (uint8_t)scale.rounding,
                      .addcmul = (uint8_t)addcmul.rounding,
                      .param = offset(tensor->param, bytes),
                      .grad = offset(tensor->grad, bytes),
                      .buffer = offset(tensor->buffer, bytes),
                      .count = end - begin,
                      .first = tensor->first,
                      .write_grad = tensor->write_grad};
}

static size_t run_operand(const work *work, const sgd_operand *operand, segmenting segmenting, size_t begin, size_t end)
{
    segment segment = segment_of(segmenting, work->operation, begin);
    end = segment.end < end ? segment.end : end;
    size_t bytes = begin * sgd_dtype_size(operand->dtype);
    operand_run run = {.rounding = segment.rounding,
                       .out = offset(operand->out, bytes),
                       .x = offset(operand->x, bytes),
                       .y = offset(operand->y, bytes),
                       .count = end - begin};
    work->operand_kernels[operand->dtype](&work->operand_scalars[operand->dtype], 1, &run);
    return end;
}

static void copy(const sgd_operand *operand, size_t begin, size_t end)
{
    size_t size = sgd_dtype_size(operand->dtype);
    memcpy((char *)operand->out + begin * size, (const char *)operand->x + begin * size, (end - begin) * size);
}

size_t first_of_kernels(const sgd_arithmetic *arithmetic, const sgd_step_tensor *tensor)
{
    bool body_done = arithmetic->path == SGD_FUSED && sgd_dtype_size(tensor->dtype) == 2 &&
                     arithmetic->defects == SGD_DEFECTS_REPRODUCE;
    return body_done ? tensor->numel - tensor->numel % 16 : 0;
}

/* Elements [begin, end) of item i, segment by segment. */
static void run_range(const work *work, size_t i, size_t begin, size_t end)
{
    if (work->operation == SGD_OP_COPY) {
        copy(&work->operands[i], begin, end);
        return;
    }
    if (work->operands) {
        const sgd_operand *operand = &work->operands[i];
        segmenting segmenting =
            segmenting_of(work->arithmetic, operand->dtype, operand->inner, operand->row, operand->numel);
        while (begin < end)
            begin = run_operand(work, operand, segmenting, begin, end);
        return;
    }
    const sgd_step_tensor *tensor = &work->tensors[i];
    segmenting segmenting = segmenting_of(work->arithmetic, tensor->dtype, SGD_INNER_CONTIGUOUS, 0, tensor->numel);
    size_t own = first_of_kernels(work->arithmetic, tensor);
    begin = begin < own ? own : begin;
    while (begin < end) {
        step_run run = cut_run(segmenting, tensor, begin, end);
        work->step_kernels[tensor->dtype](&work->step_scalars[tensor->dtype], 1, &run);
        begin += run.count;
    }
}

size_t share_of_item(size_t bytes, size_t element_size, size_t numel)
{
    size_t elements = bytes / element_size;
    elements += (SPLIT_ELEMENTS - elements % SPLIT_ELEMENTS) % SPLIT_ELEMENTS;
    return elements < numel ? elements : numel;
}

/* The same for item i, which lies at byte `item` of the whole list. */
static size_t share_end(size_t boundary, size_t item, size_t size, size_t numel)
{
    return boundary <= item ? 0 : share_of_item(boundary - item, size, numel);
}

/* Bytes [begin, end) of the concatenated list. */
static void run_share(const work *work, size_t begin, size_t end)
{
    size_t item = 0;
    for (size_t i = 0; i < work->count && item < end; i++) {
        size_t size = sgd_dtype_size(item_dtype(work, i)), numel = item_numel(work, i);
        size_t from = share_end(begin, item, size, numel), to = share_end(end, item, size, numel);
        if (from < to)
            run_range(work, i, from, to);
        item += numel * size;
    }
}

size_t threads_asked(const sgd_arithmetic *arithmetic)
{
    size_t threads = arithmetic->threads ? arithmetic->threads : (size_t)omp_get_max_threads();
    return threads < MOST_THREADS ? threads : MOST_THREADS;
}

size_t worthwhile_threads(const sgd_arithmetic *arithmetic, size_t bytes)
{
    if (bytes < PARALLEL_BYTES)
        return 1;
    size_t useful = 1 + bytes / (PARALLEL_BYTES / 2); /* no thread gets less than half of what is worth one */
    size_t asked = threads_asked(arithmetic);
    return asked < useful ? asked : useful;
}

void run_work(const work *work)
{
    size_t bytes = 0;
    for (size_t i = 0; i < work->count; i++)
        bytes += item_numel(work, i) * sgd_dtype_size(item_dtype(work, i));
    size_t threads = worthwhile_threads(work->arithmetic, bytes);
    if (threads == 1) {
        run_share(work, 0, bytes);
        return;
    }
#pragma omp parallel num_threads((int)threads)
    {
        size_t share = bytes / (size_t)omp_get_num_threads() + 1, begin = share * (size_t)omp_get_thread_num();
        run_share(work, begin, begin + share < bytes ? begin + share : bytes);
    }
}

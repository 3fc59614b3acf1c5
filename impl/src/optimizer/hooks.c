/* hooks.c - hooks, and what they may do to the optimizer that runs them (torch/utils/hooks.py RemovableHandle,
 * torch/optim/optimizer.py profile_hook_step, register_..._hook).
 *
 * A call runs the hooks that were there when it came to them, or, of those that follow what can't be undone, when it was
 * about to do that, so that it needs no memory any more.  Each is held while it may still run, so that one may remove
 * itself or another, and its context is released when nobody holds it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct hook {
    sgd_hook_handle handle;
    sgd_hook function;
    void *context;
    void (*release)(void *context);
    atomic_size_t holders;
    atomic_bool removed;
};

static hook_list global_hooks[SGD_HOOK_KIND_COUNT];
static pthread_mutex_t global_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_fast64_t last_handle;

static void let_go(hook *hook)
{
    if (atomic_fetch_sub(&hook->holders, 1) != 1)
        return;
    if (hook->release)
        hook->release(hook->context);
    free(hook);
}

/* ---- lists --------------------------------------------------------------------------------------------------------------- */

static sgd_status hook_create(sgd_hook_kind kind, sgd_hook function, void *context, void (*release)(void *),
                              const sgd_hook_handle *out, hook **made, sgd_error *error)
{
    if (!function || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", function ? "out" : "hook");
    if ((unsigned)kind >= SGD_HOOK_KIND_COUNT)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "hook kind %d does not exist", (int)kind);
    hook *hook = malloc(sizeof *hook);
    if (!hook)
        return no_memory(error);
    *hook = (struct hook){.function = function, .context = context, .release = release};
    hook->handle = atomic_fetch_add(&last_handle, 1) + 1;
    atomic_init(&hook->holders, 1);
    atomic_init(&hook->removed, false);
    *made = hook;
    return SGD_OK;
}

static bool list_add(hook_list *list, hook *hook, bool prepend)
{
    if (!RESERVE(list->hooks, list->count + 1))
        return false;
    size_t at = prepend ? 0 : list->count;
    memmove(list->hooks + at + 1, list->hooks + at, (list->count - at) * sizeof *list->hooks);
    list->hooks[at] = hook;
    list->count++;
    return true;
}

/* Takes the hook off the list; the caller lets it go. */
static hook *list_take(hook_list *list, sgd_hook_handle handle)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->hooks[i]->handle == handle) {
            hook *hook = list->hooks[i];
            atomic_store(&hook->removed, true);
            memmove(list->hooks + i, list->hooks + i + 1, (--list->count - i) * sizeof *list->hooks);
            return hook;
        }
    return NULL;
}

sgd_status sgd_optimizer_add_hook(sgd_optimizer *optimizer, sgd_hook_kind kind, sgd_hook function, void *context,
                                  void (*release)(void *context), bool prepend, sgd_hook_handle *out, sgd_error *error)
{
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    if (prepend && (kind == SGD_HOOK_STEP_PRE || kind == SGD_HOOK_STEP_POST))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "step hooks don't take prepend");
    hook *hook = NULL;
    sgd_status status = hook_create(kind, function, context, release, out, &hook, error);
    if (status)
        return status;
    if (!list_add(&optimizer->hooks[kind], hook, prepend)) {
        free(hook); /* the context stays the caller's */
        return no_memory(error);
    }
    *out = hook->handle;
    return SGD_OK;
}

void sgd_optimizer_remove_hook(sgd_optimizer *optimizer, sgd_hook_handle handle)
{
    hook *hook = NULL;
    for (int kind = 0; kind < SGD_HOOK_KIND_COUNT && optimizer && !hook; kind++)
        hook = list_take(&optimizer->hooks[kind], handle);
    if (hook)
        let_go(hook);
}

sgd_status sgd_global_hook_add(sgd_hook_kind kind, sgd_hook function, void *context, void (*release)(void *context),
                               sgd_hook_handle *out, sgd_error *error)
{
    if (kind != SGD_HOOK_STEP_PRE && kind != SGD_HOOK_STEP_POST)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "only step hooks are global");
    hook *hook = NULL;
    sgd_status status = hook_create(kind, function, context, release, out, &hook, error);
    if (status)
        return status;
    sgd_hook_handle handle = hook->handle; /* once on the list it may be gone */
    pthread_mutex_lock(&global_lock);
    bool added = list_add(&global_hooks[kind], hook, false);
    pthread_mutex_unlock(&global_lock);
    if (!added) {
        free(hook);
        return no_memory(error);
    }
    *out = handle;
    return SGD_OK;
}

void sgd_global_hook_remove(sgd_hook_handle handle)
{
    hook *hook = NULL;
    pthread_mutex_lock(&global_lock);
    for (int kind = 0; kind < SGD_HOOK_KIND_COUNT && !hook; kind++) {
        hook_list *list = &global_hooks[kind];
        hook = list_take(list, handle);
        if (list->count == 0) {
            free(list->hooks);
            list->hooks = NULL;
        }
    }
    pthread_mutex_unlock(&global_lock);
    if (hook)
        let_go(hook);
}

void hooks_clear(sgd_optimizer *optimizer)
{
    for (int kind = 0; kind < SGD_HOOK_KIND_COUNT; kind++) {
        hook_list list = optimizer->hooks[kind];
        optimizer->hooks[kind] = (hook_list){0};
        for (size_t i = 0; i < list.count; i++)
            let_go(list.hooks[i]);
        free(list.hooks);
    }
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

/* The hooks of a list as they are now, held; an empty list takes no memory. */
static sgd_status list_hold(const hook_list *list, hook_list *out, sgd_error *error)
{
    *out = (hook_list){0};
    if (list->count == 0)
        return SGD_OK;
    out->hooks = malloc(list->count * sizeof *out->hooks);
    if (!out->hooks)
        return no_memory(error);
    out->count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        out->hooks[i] = list->hooks[i];
        atomic_fetch_add(&out->hooks[i]->holders, 1);
    }
    return SGD_OK;
}

sgd_status callback_status(sgd_status status, const sgd_error *from, const char *what, sgd_error *error)
{
    if (status && from->status == status && from->message[0])
        return sgd_error_set(error, status, "%s", from->message);
    return status ? sgd_error_set(error, status, "%s failed: %s", what, sgd_status_text(status)) : SGD_OK;
}

sgd_status callback_end(const sgd_optimizer *optimizer, sgd_status status, const sgd_error *from, const char *what,
                        sgd_error *error)
{
    if (optimizer->destroyed)
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "the optimizer was destroyed by %s", what);
    return callback_status(status, from, what, error);
}

/* What a hook put in place of the state dict; where there is none to replace, it goes. */
static void take_replacement(sgd_hook_call *call)
{
    bool wanted = call->kind == SGD_HOOK_STATE_POST || call->kind == SGD_HOOK_LOAD_PRE;
    sgd_state *unwanted = wanted ? call->state : call->replacement;
    if (!call->replacement || call->replacement == call->state) {
        call->replacement = NULL;
        return;
    }
    if (wanted)
        call->state = call->replacement;
    call->replacement = NULL;
    sgd_state_destroy(unwanted);
}

sgd_status hooks_hold(const sgd_optimizer *optimizer, sgd_hook_kind kind, bool global, hook_list *out, sgd_error *error)
{
    if (!global)
        return list_hold(&optimizer->hooks[kind], out, error);
    pthread_mutex_lock(&global_lock);
    sgd_status status = list_hold(&global_hooks[kind], out, error);
    pthread_mutex_unlock(&global_lock);
    return status;
}

sgd_status hooks_run_held(sgd_hook_call *call, hook_list *held, sgd_status status, sgd_error *error)
{
    for (size_t i = 0; i < held->count; i++) {
        hook *hook = held->hooks[i];
        if (!status && !atomic_load(&hook->removed)) {
            sgd_error own = {.status = SGD_OK};
            status = callback_end(call->optimizer, hook->function(call, hook->context, &own), &own, "a hook", error);
            take_replacement(call);
        }
        let_go(hook);
    }
    free(held->hooks);
    *held = (hook_list){0};
    return status;
}

sgd_status hooks_run(sgd_hook_call *call, bool global, sgd_error *error)
{
    hook_list held;
    sgd_status status = hooks_hold(call->optimizer, call->kind, global, &held, error);
    return status ? status : hooks_run_held(call, &held, SGD_OK, error);
}

/* ---- calls within calls -------------------------------------------------------------------------------------------------- */

sgd_status call_begin(sgd_optimizer *optimizer, call which, sgd_error *error)
{
    static const char *const names[CALL_COUNT] = {"step", "state_dict", "load_state_dict"};
    if (optimizer->busy[which])
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "%s called from one of its own hooks or its closure", names[which]);
    optimizer->busy[which] = true;
    optimizer->depth++;
    return SGD_OK;
}

sgd_status call_end(sgd_optimizer *optimizer, call which, sgd_status status, sgd_error *error)
{
    optimizer->busy[which] = false;
    optimizer->depth--;
    if (!optimizer->destroyed)
        return status;
    if (optimizer->depth == 0)
        optimizer_free(optimizer);
    return status ? status : sgd_error_set(error, SGD_ERROR_RUNTIME, "the optimizer was destroyed by a hook");
}

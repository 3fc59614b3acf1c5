/* hooks.h - functions that an optimizer calls before and after step, state_dict and load_state_dict.
 *
 * A hook that does not answer SGD_OK ends the call it belongs to, with its status and its message (ERROR_CALLBACK and a
 * standard one where it leaves none).  After a failed pre-hook everything is as before; a post-hook comes too late to undo
 * what it follows, as in PyTorch.
 *
 * What a hook (or a closure, or `collect`) may do with its optimizer:
 *   read and write      groups, options, state, zero_grad, state_dict, load_state_dict, add groups: yes, nothing is in flight.  A
 *                       pre-hook that adds params must replace the gradients too.
 *   call itself again   a call of the same function (step in step, state_dict in state_dict, load_state_dict in
 *                       load_state_dict) is refused: ERROR_RUNTIME.
 *   add and remove      hooks, itself among them: one that is added to those that are running runs from the next call on,
 *                       one that is removed and has not yet run doesn't.  Its context is released once no call uses it.
 *   destroy it          sgd_optimizer_destroy takes effect when the outermost call returns, which then is ERROR_RUNTIME; no
 *                       further hook runs, and a step that has not begun is not taken.  The optimizer is gone.
 *
 * Thread-safety: global hooks may be added and removed from any thread, and run in every thread that steps; the others are
 * as their optimizer.
 */
#ifndef SGD_HOOKS_H
#define SGD_HOOKS_H

#include "state.h"
#include "stepping.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgd_hook_kind {
    SGD_HOOK_STEP_PRE,  /* may change or replace the arguments (gradients, closure, ...)                    */
    SGD_HOOK_STEP_POST, /* sees them                                                                       */
    SGD_HOOK_STATE_PRE,
    SGD_HOOK_STATE_POST, /* may change the state dict or replace it                                        */
    SGD_HOOK_LOAD_PRE,   /* may change the copy of the state dict that is to be loaded, or replace it      */
    SGD_HOOK_LOAD_POST,
    SGD_HOOK_KIND_COUNT
} sgd_hook_kind;

typedef struct sgd_hook_call {
    size_t struct_size;
    sgd_hook_kind kind;
    sgd_optimizer *optimizer;
    sgd_step_arguments *arguments; /* STEP_PRE, STEP_POST; else NULL.  What it points to outlives the step */
    sgd_state *state;              /* STATE_POST, LOAD_PRE; else NULL.  The library's, to read and to change */
    sgd_state *replacement;        /* there, set by the hook: from now on the state dict; the library takes it over */
} sgd_hook_call;

typedef sgd_status (*sgd_hook)(sgd_hook_call *call, void *context, sgd_error *error);

/* Never 0 and never used again. */
typedef uint64_t sgd_hook_handle;

/* register_..._hook: runs after those of its kind that are there already, or before them with `prepend` (which step hooks do
 * not take: ERROR_ARGUMENT).  `release`, if not NULL, is called once with the context when the hook is gone; not where adding it
 * fails. */
SGD_API sgd_status sgd_optimizer_add_hook(sgd_optimizer *optimizer, sgd_hook_kind kind, sgd_hook hook, void *context,
                                          void (*release)(void *context), bool prepend, sgd_hook_handle *out,
                                          sgd_error *error);

/* handle.remove(): does nothing where the hook is gone already. */
SGD_API void sgd_optimizer_remove_hook(sgd_optimizer *optimizer, sgd_hook_handle handle);

/* register_optimizer_step_pre_hook, ..._post_hook: for every optimizer of the process; STEP_PRE and STEP_POST only. */
SGD_API sgd_status sgd_global_hook_add(sgd_hook_kind kind, sgd_hook hook, void *context, void (*release)(void *context),
                                       sgd_hook_handle *out, sgd_error *error);
SGD_API void sgd_global_hook_remove(sgd_hook_handle handle);

#ifdef __cplusplus
}
#endif
#endif

/* user.c - one step with the installed headers and library. */
#include <sgd/sgd.h>
#include <stdio.h>

int main(void)
{
    float param[2] = {1, 2}, grad[2] = {1, 1};
    int64_t shape[1] = {2};
    DLTensor tensor = {.data = param,
                       .device = {.device_type = kDLCPU},
                       .ndim = 1,
                       .dtype = {.code = kDLFloat, .bits = 32, .lanes = 1},
                       .shape = shape};
    DLTensor gradient = tensor, *grads[1] = {&gradient};
    gradient.data = grad;

    sgd_options options = sgd_options_default();
    options.lr = 0.5;
    sgd_optimizer *optimizer;
    sgd_error error;
    if (sgd_optimizer_create(&options, NULL, &tensor, 1, &optimizer, &error) ||
        sgd_optimizer_step(optimizer, grads, 1, &error)) {
        puts(error.message);
        return 1;
    }
    sgd_optimizer_destroy(optimizer);
    printf("%g %g\n", (double)param[0], (double)param[1]);
    return param[0] == 0.5f && param[1] == 1.5f ? 0 : 1;
}

/* The memory of losses of feature maps on a CUDA device (see map_loss.h). Copies wait for the kernels before them. */
#include "layers/gpu/cuda_call.h"

extern "C" {
#include "map_loss.h"
}

static void *grow_device(void *old, size_t bytes)
{
    void *memory;
    CUDA_CALL(cudaFree(old));
    CUDA_CALL(cudaMalloc(&memory, bytes));
    return memory;
}
static void release_device(void *memory) { CUDA_CALL(cudaFree(memory)); }
static void copy_up(void *to, const void *host, size_t bytes)
{
    CUDA_CALL(cudaMemcpy(to, host, bytes, cudaMemcpyHostToDevice));
}
static void copy_down(void *host, const void *from, size_t bytes)
{
    CUDA_CALL(cudaMemcpy(host, from, bytes, cudaMemcpyDeviceToHost));
}

static const map_loss_memory device_memory = { grow_device, release_device, copy_up, copy_down };

extern "C" void map_loss_to_device(layer *l, void (*forward)(layer, network), void (*backward)(layer, network))
{
    map_loss_of(l)->memory = &device_memory;
    l->forward_gpu = forward;
    l->backward_gpu = backward;
    l->update_gpu = NULL;
}

/* What map_loss_free frees must be the host's again. */
extern "C" void map_loss_from_device(layer *l)
{
    map_loss *state = map_loss_of(l);
    CUDA_CALL(cudaDeviceSynchronize());
    release_device(state->work);
    release_device(state->uploaded);
    state->work = NULL;
    state->uploaded = NULL;
    state->room = state->uploaded_room = 0;
}

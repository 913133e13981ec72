/* Steps and their ports (see onednn_step.h). */
#include "onednn_step.h"

#ifdef DNNL
#include <stdio.h>
#include <stdlib.h>

void onednn_must(dnnl_status_t status, const char *file, int line)
{
    if (status == dnnl_success) return;
    fprintf(stderr, "BUG %s:%d: oneDNN status %d\n", file, line, (int)status);
    abort();
}

int onednn_attr(dnnl_primitive_attr_t *attr)
{
    return fails(dnnl_primitive_attr_create(attr))
        || fails(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user)) ? -1 : 0;
}

static int make_prim(onednn_prim *prim, const onednn_room *room, dnnl_primitive_desc_t pd)
{
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    if (fails(dnnl_primitive_create(&prim->prim, pd))) return -1;
    if (!bytes) return 0;
    cpu_reserve(room->shared, SLOT_SCRATCH, bytes);
    return fails(dnnl_memory_create(&prim->scratch, scratch, room->engine, DNNL_MEMORY_NONE)) ? -1 : 0;
}

int onednn_make(onednn_step *step, dnnl_primitive_desc_t pd) { return make_prim(&step->prim, step->room, pd); }

static void free_prim(onednn_prim *prim)
{
    dnnl_primitive_destroy(prim->prim);
    dnnl_memory_destroy(prim->scratch);
}

static void set_handle(dnnl_memory_t memory, const void *data)
{
    void *old = NULL;
    ONEDNN_MUST(dnnl_memory_get_data_handle(memory, &old));
    if (old != data) ONEDNN_MUST(dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data));
}

/* `args` has room for one more. */
static void execute(const onednn_room *room, const onednn_prim *prim, int n, dnnl_exec_arg_t args[])
{
    if (prim->scratch) {
        set_handle(prim->scratch, room->shared->slot[SLOT_SCRATCH]);
        args[n++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, prim->scratch };
    }
    ONEDNN_MUST(dnnl_primitive_execute(prim->prim, room->stream, n, args));
}

/* Copies from one layout to another; `add`: adds to what is there. */
static int make_reorder(onednn_prim *reorder, const onednn_room *room, const dnnl_memory_desc_t *from,
                        const dnnl_memory_desc_t *to, int add)
{
    dnnl_engine_t engine = room->engine;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    int bad = onednn_attr(&attr) || fails(dnnl_post_ops_create(&ops))
           || (add && fails(dnnl_post_ops_append_sum(ops, 1.0f)))
           || fails(dnnl_primitive_attr_set_post_ops(attr, ops))
           || fails(dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, attr))
           || make_prim(reorder, room, pd);
    dnnl_primitive_desc_destroy(pd);
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    return bad ? -1 : 0;
}

int onednn_add_port(onednn_step *step, int arg, int slot, port_way way, const dnnl_memory_desc_t *ours,
                    const dnnl_memory_desc_t *inner)
{
    const onednn_room *room = step->room;
    onednn_port *port = &step->port[step->n++];
    int same = !inner || dnnl_memory_desc_equal(ours, inner);
    port->arg = arg;
    port->slot = slot;
    port->way = way;
    if (fails(dnnl_memory_create(&port->ours, ours, room->engine, DNNL_MEMORY_NONE))) return -1;
    if (!inner || (way != PORT_ADD && same)) return 0;
    if (fails(dnnl_memory_create(&port->inner, inner, room->engine, DNNL_MEMORY_NONE))) return -1;
    cpu_reserve(room->shared, slot, dnnl_memory_desc_get_size(inner));
    if (way == PORT_IN) return make_reorder(&port->reorder, room, ours, inner, 0);
    if (way == PORT_ADD && !same && make_reorder(&port->copy, room, inner, ours, 0)) return -1;
    return make_reorder(&port->reorder, room, inner, ours, way == PORT_ADD);
}

void onednn_free_step(onednn_step *step)
{
    for (int i = 0; i < step->n; ++i) {
        free_prim(&step->port[i].reorder);
        free_prim(&step->port[i].copy);
        dnnl_memory_destroy(step->port[i].inner);
        dnnl_memory_destroy(step->port[i].ours);
    }
    free_prim(&step->prim);
}

static void reorder(const onednn_room *room, const onednn_prim *by, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[3] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
    execute(room, by, 2, args);
}

/* Does the primitive work on our buffer itself? */
static int is_direct(const onednn_port *port, int write)
{
    return !port->inner || (write && port->way == PORT_ADD && !port->copy.prim);
}

void onednn_run_step(onednn_step *step, const void *const data[], unsigned ready, int write)
{
    const onednn_room *room = step->room;
    dnnl_exec_arg_t args[5];
    for (int i = 0; i < step->n; ++i) {
        onednn_port *port = &step->port[i];
        int direct = is_direct(port, write);
        set_handle(port->ours, data[i]);
        if (!direct) set_handle(port->inner, port->own ? port->own : room->shared->slot[port->slot]);
        if (!direct && port->way == PORT_IN && !(ready & PORT_READY(i)))
            reorder(room, &port->reorder, port->ours, port->inner);
        args[i] = (dnnl_exec_arg_t){ port->arg, direct ? port->ours : port->inner };
    }
    execute(room, &step->prim, step->n, args);
    for (int i = 0; i < step->n; ++i) {
        onednn_port *port = &step->port[i];
        if (port->way == PORT_IN || is_direct(port, write)) continue;
        reorder(room, write && port->way == PORT_ADD ? &port->copy : &port->reorder, port->inner, port->ours);
    }
    ONEDNN_MUST(dnnl_stream_wait(room->stream));
}
#endif

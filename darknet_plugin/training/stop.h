/* SIGINT, SIGTERM, SIGHUP and SIGUSR1 (which both MPIs hand on from mpirun to all ranks) while training: the first asks
 * for an end after the step, the second ends the process at once. */
#ifndef DISTILL_STOP_H
#define DISTILL_STOP_H

/* From here on all are caught, unless they were ignored (nohup). `quietly`: another rank says so. `live`: there is a
 * line on the terminal that goes first (progress.h). */
void stop_catch(int quietly, int live);
/* As if `signal` had come, unless one has: another rank has got it. */
void stop_ask(int signal);
/* The signal that asked for an end, 0 = none did. */
int stop_asked(void);
/* "SIGINT", "SIGTERM", ... */
const char *stop_name(void);
/* The exit status: as shells have it, 128 + the signal that ended the run, if `status` is not 0; else `status`. */
int stop_status(int status);

#endif

/* SIGINT, SIGTERM and SIGHUP while training: the first asks for an end after the step, the second ends the process at
 * once. */
#ifndef DISTILL_STOP_H
#define DISTILL_STOP_H

/* From here on all three are caught, unless they were ignored (nohup). */
void stop_catch(void);
/* The signal that asked for an end, 0 = none did. */
int stop_asked(void);
/* "SIGINT", "SIGTERM" or "SIGHUP". */
const char *stop_name(void);
/* The exit status: as shells have it, 128 + the signal that ended the run, if `status` is not 0; else `status`. */
int stop_status(int status);

#endif

/* How this program was called, so that messages name a command that the reader can type. */
#ifndef DISTILL_COMMAND_H
#define DISTILL_COMMAND_H

#ifdef __cplusplus
extern "C" {
#endif

/* The name that `make install` gives the program: it takes verbs only. Under any other it is a `darknet`, whose first
 * word is `distill` or a stock command's. */
#define COMMAND_INSTALLED "darknet-distill"

/* Once, first thing in main. */
void command_called(const char *argv0);
int command_is_installed(void);
/* What stands before a verb: "darknet distill" or "darknet-distill". */
const char *command_name(void);

#ifdef __cplusplus
}
#endif
#endif

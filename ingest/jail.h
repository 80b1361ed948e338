/* ingest/jail.h - what a sandboxed child does to itself before it touches a document
 *
 * Limits and filters of sandbox.h, in a file of their own because they are a list of system calls
 * and nothing else.  Called once, in a child that is about to run its job; there is no way back.
 */
#ifndef INGEST_JAIL_H
#define INGEST_JAIL_H

#include "ingest/sandbox.h"

#include <stdbool.h>

/* Build both filters, once, in the process that will fork the children: it takes a millisecond and
 * memory.  False when the kernel or the library refuses. */
bool jail_prepare(void);

/* For a job inside this program: memory, its two open files, time.  No path can be opened. */
bool jail_function(const struct sandbox_limit *lim);

/* For a program, just before execve: the same and execve, reading files, what the dynamic linker
 * and libc ask for.  Nothing opened for writing, no socket, no process, no signal.  Its address
 * space is counted from nothing. */
bool jail_program(const struct sandbox_limit *lim);

#endif

/* Preloaded into componentize-qjs while it builds a component that is committed.
 *
 * The QuickJS engine is started, and its memory then becomes part of the component: with the seeds of its hash tables
 * and the time of its start. Here both are constants, so that the same source gives the same bytes. Nothing that a
 * component does later depends on them being secret; `env.random` is the node's own.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/types.h>
#include <time.h>

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
	(void)flags;
	memset(buffer, 0x5e, length);
	return (ssize_t)length;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	now->tv_sec = 1767225600; /* 2026-01-01 */
	now->tv_nsec = 0;
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * First process of the host: starts what has to happen before the rest of the system, then becomes systemd.
 *
 * After a live update every millisecond until the virtual machines run again is blackout, and systemd needs seconds to read
 * its units. So the agent's second half is started here (resume.c), with /proc, /sys, /dev, /run, debugfs and the cgroup tree mounted,
 * and systemd waits for it: until it says that it is done, by closing descriptor 3 or by exiting, or for EARLY_SECONDS. It is
 * started only on a kernel that was handed something (/sys/kernel/debug/kho/in/fdt,
 * kernel/liveupdate/kexec_handover_debugfs.c) and lives on beside systemd, with its children, in a cgroup of its own. Its
 * output goes to /run/liveupdate/early.log.
 *
 * Under the name liveupdate-keeper this program is the keeper: `liveupdate-keeper DIRECTORY`, with a listening socket as descriptor 3,
 * as the SDK starts one; and `liveupdate-keeper --resume PROGRAM SNAPSHOT START`, with the numbers of three descriptors, or -1.
 */
#include "luo.h"
#include "keeper.h"
#include "resume.h"
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define HANDED_OVER "/sys/kernel/debug/kho/in/fdt"
#define SUPPORTED "/run/liveupdate/first-process"    /* tells the agent that its session will be looked for */
#define KEEPER "liveupdate-keeper"
enum { EARLY_SECONDS = 15, LISTENER_FD = 3 };

/*
 * A child that is born into a cgroup of its own. Moving it there would wait for an RCU grace period
 * (cgroup_attach_lock in kernel/cgroup/cgroup.c): tens of milliseconds.
 */
static pid_t fork_into(const char *cgroup)
{
	mkdir(cgroup, 0755);
	int fd = high(open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct clone_args args = { .exit_signal = SIGCHLD, .flags = fd < 0 ? 0 : CLONE_INTO_CGROUP, .cgroup = fd < 0 ? 0 : fd };
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	if (fd >= 0) close(fd);
	return pid;
}

/* The number of a descriptor that stays open when another program begins. */
static char *inherited(int fd, char *text)
{
	if (fd >= 0) fcntl(fd, F_SETFD, 0);
	sprintf(text, "%d", fd);
	return text;
}

/* This program once more, so that it is seen under the name of what it does. */
static void become_keeper(const struct carried *c)
{
	char numbers[3][12];
	execl("/proc/self/exe", KEEPER, "--resume", inherited(c->program, numbers[0]), inherited(c->snapshot, numbers[1]),
	      inherited(c->start, numbers[2]), (char *)NULL);
	_exit(127);
}

/* Starts the second half, and waits until the virtual machines run. */
static void early(const struct carried *c)
{
	int done[2];
	if (pipe2(done, O_CLOEXEC)) return;
	pid_t pid = fork_into("/sys/fs/cgroup/liveupdate-early");
	if (pid < 0) return;
	if (pid == 0) {
		setsid();
		int ready = high(done[1]);
		int out = high(open("/run/liveupdate/early.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
		become(high(open("/dev/null", O_RDONLY | O_CLOEXEC)), 0);
		become(out, 1);
		become(out, 2);
		become(ready, READY_FD);
		close(ready);
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		setenv("HOME", "/root", 1);
		setenv("LIVEUPDATE_READY_FD", "3", 1);
		become_keeper(c);
	}
	close(done[1]);
	close(c->program);
	close(c->snapshot);
	close(c->start);
	struct pollfd end = { .fd = done[0] };
	if (poll(&end, 1, EARLY_SECONDS * 1000) == 0) note("the agent takes long; going on without it");
	close(done[0]);
}

static void before_systemd(void)
{
	mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot");
	mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	note("first process");
	mkdir("/run/liveupdate", 0700);
	close(open(SUPPORTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	if (access(HANDED_OVER, F_OK)) return;
	struct carried c;
	int carried = retrieve_carried(&c) == 0;
	if (!carried && access(HOOK, X_OK)) return;
	note(carried ? "starting the agent that was sent along" : "starting " HOOK);
	early(&c);
	note("starting systemd");
}

/* The descriptors that were inherited are for this process alone. */
static int own(const char *number)
{
	int fd = atoi(number);
	if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[0], KEEPER) == 0 && strcmp(argv[1], "--resume") == 0) {
		struct carried c = { own(argv[2]), own(argv[3]), own(argv[4]) };
		return resume(&c);
	}
	if (argc == 2 && strcmp(argv[0], KEEPER) == 0) return keeper_serve(argv[1], high(LISTENER_FD), 0, NULL, NULL);
	if (getpid() == 1) before_systemd();
	execv("/usr/lib/systemd/systemd", argv);
	note("cannot start /usr/lib/systemd/systemd");
	return 1;
}

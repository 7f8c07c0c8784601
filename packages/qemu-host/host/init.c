// SPDX-License-Identifier: Apache-2.0
/*
 * First process of the host: starts what has to happen before the rest of the system, then becomes systemd.
 *
 * After a live update every millisecond until the virtual machines run again is blackout, and systemd needs seconds to read
 * its units. So the early hook (/opt/liveupdate/early, from the payload) is started here, with /proc, /sys, /dev, /run,
 * debugfs and the cgroup tree mounted, and systemd waits for it: until it says that it is done, by closing descriptor 3 or by
 * exiting, or for EARLY_SECONDS. The hook is started only on a kernel that was handed something
 * (/sys/kernel/debug/kho/in/fdt, kernel/liveupdate/kexec_handover_debugfs.c) and lives on beside systemd, with its children,
 * in a cgroup of its own. Its output goes to /run/liveupdate/early.log.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOOK "/opt/liveupdate/early"
#define HANDED_OVER "/sys/kernel/debug/kho/in/fdt"
enum { EARLY_SECONDS = 15 };

static void note(const char *text)
{
	static int kmsg = -1;
	if (kmsg < 0) kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (kmsg >= 0) dprintf(kmsg, "<5>liveupdate-init: %s\n", text);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) return;
	if (write(fd, text, strlen(text)) < 0) note(path);
	close(fd);
}

static void early(void)
{
	int done[2];
	if (pipe2(done, O_CLOEXEC)) return;
	pid_t pid = fork();
	if (pid < 0) return;
	if (pid == 0) {
		setsid();
		mkdir("/sys/fs/cgroup/liveupdate-early", 0755);
		put("/sys/fs/cgroup/liveupdate-early/cgroup.procs", "0");
		mkdir("/run/liveupdate", 0700);
		int in = open("/dev/null", O_RDONLY);
		int out = open("/run/liveupdate/early.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(in, 0);
		dup2(out, 1);
		dup2(out, 2);
		int ready = fcntl(done[1], F_DUPFD, 10);
		dup2(ready, 3);
		close_range(4, ~0U, 0);
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		setenv("HOME", "/root", 1);
		setenv("LIVEUPDATE_READY_FD", "3", 1);
		execl(HOOK, HOOK, (char *)NULL);
		dprintf(2, HOOK ": %s\n", strerror(errno));
		_exit(127);
	}
	close(done[1]);
	struct pollfd end = { .fd = done[0] };
	if (poll(&end, 1, EARLY_SECONDS * 1000) == 0) note(HOOK " takes long; going on without it");
	close(done[0]);
}

int main(int argc, char **argv)
{
	(void)argc;
	if (getpid() == 1) {
		mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
		mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot");
		mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		note("first process");
		if (access(HANDED_OVER, F_OK) == 0 && access(HOOK, X_OK) == 0) {
			note("starting " HOOK);
			early();
			note("starting systemd");
		}
	}
	execv("/usr/lib/systemd/systemd", argv);
	note("cannot start /usr/lib/systemd/systemd");
	return 1;
}

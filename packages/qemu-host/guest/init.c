// SPDX-License-Identifier: Apache-2.0
/*
 * The guest of the demo and the end-to-end tests: one static program, first process of an initramfs.
 *
 * It says on its console everything that a live update of its host must leave alone:
 *   guest kernel RELEASE hypervisor SIGNATURE clocksource NAME pattern BYTES seed SEED     once, at start
 *   tick N up S.SS                          every 200 ms; N counts from 1, S.SS is its own CLOCK_MONOTONIC
 *   clock NAME                              when the clock source changes
 *   pattern ok BYTES bad BYTES pass N       every 5th tick: what this pass has verified so far
 *   pattern pass N ok BYTES bad BYTES       a complete pass; also at once on the command "verify"
 *   disk vda seq N                          record N is on the disk (after fsync); every tick, for vda and vdb if present
 *   disk vda error OPERATION ERRNO          this disk is not used any more
 * Commands, one per line on the console: verify, poweroff. The power button means poweroff.
 * Kernel command line: pattern=64M seed=1 tick=200
 * A record is the line "seq N tick N" in the file "records" of the disk's ext4 file system (to be made outside).
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static uint64_t *pattern, seed = 1;
static size_t words, position, good, bad;
static unsigned long pass = 1, tick;

struct disk { const char *name, *device, *directory; int fd; unsigned long seq; };
static struct disk disks[] = { { "vda", "/dev/vda", "/vda", -1, 0 }, { "vdb", "/dev/vdb", "/vdb", -1, 0 } };

static uint64_t word_at(uint64_t i)
{
	/* splitmix64: every word follows from its index, so that each can be checked by itself */
	uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15ULL;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char text[256];
	va_list args;
	__builtin_va_start(args, format);
	int n = vsnprintf(text, sizeof text - 1, format, args);
	__builtin_va_end(args);
	text[n++] = '\n';
	for (int done = 0; done < n;) {
		ssize_t w = write(1, text + done, n - done);
		if (w < 0 && errno != EINTR && errno != EAGAIN) return;
		if (w > 0) done += w;
	}
}

static void read_word(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
	if (fd >= 0) close(fd);
	if (n <= 0) n = snprintf(out, size, "unknown");
	out[n] = 0;
	out[strcspn(out, " \n")] = 0;
}

static void check(size_t count)
{
	for (; count && words; count--) {
		if (pattern[position] == word_at(position)) good += sizeof *pattern;
		else bad += sizeof *pattern;
		if (++position == words) {
			say("pattern pass %lu ok %zu bad %zu", pass, good, bad);
			pass++;
			position = good = bad = 0;
		}
	}
}

static unsigned long long size_of(const char *s)
{
	char *unit;
	unsigned long long n = strtoull(s, &unit, 10);
	return n << (*unit == 'G' ? 30 : *unit == 'M' ? 20 : *unit == 'K' ? 10 : 0);
}

static const char *argument(const char *cmdline, const char *name)
{
	const char *at = cmdline;
	size_t n = strlen(name);
	for (; (at = strstr(at, name)); at += n)
		if ((at == cmdline || at[-1] == ' ') && at[n] == '=') return at + n + 1;
	return NULL;
}

static void fail(struct disk *d, const char *operation)
{
	say("disk %s error %s %d", d->name, operation, errno);
	if (d->fd >= 0) close(d->fd);
	d->fd = -1;
}

static void open_disk(struct disk *d)
{
	char path[64], tail[128];
	if (access(d->device, F_OK)) return;
	mkdir(d->directory, 0700);
	if (mount(d->device, d->directory, "ext4", 0, NULL)) { fail(d, "mount"); return; }
	snprintf(path, sizeof path, "%s/records", d->directory);
	d->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->fd < 0) { fail(d, "open"); return; }
	off_t end = lseek(d->fd, 0, SEEK_END);
	ssize_t n = pread(d->fd, tail, sizeof tail - 1, end > 100 ? end - 100 : 0);
	tail[n > 0 ? n : 0] = 0;
	for (char *at = tail; (at = strstr(at, "seq ")); at++) d->seq = strtoul(at + 4, NULL, 10);
}

static void record(struct disk *d)
{
	char text[64];
	if (d->fd < 0) return;
	int n = snprintf(text, sizeof text, "seq %lu tick %lu\n", d->seq + 1, tick);
	if (write(d->fd, text, n) != n) { fail(d, "write"); return; }
	if (fsync(d->fd)) { fail(d, "fsync"); return; }
	say("disk %s seq %lu", d->name, ++d->seq);
}

static void power_off(void)
{
	for (size_t i = 0; i < sizeof disks / sizeof *disks; i++) {
		if (disks[i].fd < 0) continue;
		close(disks[i].fd);
		if (umount(disks[i].directory)) say("disk %s error umount %d", disks[i].name, errno);
	}
	sync();
	say("poweroff after tick %lu", tick);
	tcdrain(1);
	reboot(RB_POWER_OFF);
	for (;;) pause();
}

static void command(const char *line)
{
	if (!strcmp(line, "poweroff")) power_off();
	else if (!strcmp(line, "verify")) position = good = bad = 0, check(words);
	else if (*line) say("unknown command: %.60s (verify, poweroff)", line);
}

/* The power button is the only input device that this kernel has a driver for; -1 without one. */
static int open_button(void)
{
	return open("/dev/input/event0", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void read_button(int fd)
{
	struct input_event event;
	while (read(fd, &event, sizeof event) == sizeof event)
		if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) power_off();
}

static void hypervisor(char out[13])
{
	unsigned a, b, c, d;
	__cpuid(1, a, b, c, d);
	memset(out, 0, 13);
	if (!(c & 1u << 31)) { strcpy(out, "none"); return; }
	__cpuid(0x40000000, a, b, c, d);
	memcpy(out, &b, 4), memcpy(out + 4, &c, 4), memcpy(out + 8, &d, 4);
}

static const char clock_path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

int main(void)
{
	char cmdline[2048] = "", clocksource[32], signature[13], line[128];
	size_t line_length = 0;
	long period_ms = 200;
	struct utsname system;

	mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	int console = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	if (console >= 0) dup2(console, 0), dup2(console, 1), dup2(console, 2);
	struct termios t;
	if (tcgetattr(0, &t) == 0) {
		t.c_lflag &= ~(ECHO | ICANON);
		tcsetattr(0, TCSANOW, &t);
	}
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, cmdline, sizeof cmdline - 1) > 0) cmdline[strcspn(cmdline, "\n")] = 0;
	const char *value;
	if ((value = argument(cmdline, "pattern"))) words = size_of(value) / sizeof *pattern;
	if ((value = argument(cmdline, "seed"))) seed = strtoull(value, NULL, 0);
	if ((value = argument(cmdline, "tick")) && atol(value) > 0) period_ms = atol(value);

	if (words) {
		pattern = mmap(NULL, words * sizeof *pattern, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pattern == MAP_FAILED) say("pattern: no memory for %zu bytes", words * sizeof *pattern), words = 0;
	}
	uname(&system);
	hypervisor(signature);
	read_word(clock_path, clocksource, sizeof clocksource);
	say("guest kernel %s hypervisor %s clocksource %s pattern %zu seed %llu", system.release, signature, clocksource,
		words * sizeof *pattern, (unsigned long long)seed);
	for (size_t i = 0; i < words; i++) pattern[i] = word_at(i);
	for (size_t i = 0; i < sizeof disks / sizeof *disks; i++) open_disk(&disks[i]);

	int button = open_button();
	struct timespec now, next;
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		long long left = (next.tv_sec - now.tv_sec) * 1000000000LL + next.tv_nsec - now.tv_nsec;
		if (left > 0) {
			struct timespec wait = { left / 1000000000, left % 1000000000 };
			struct pollfd input[] = { { .fd = 0, .events = POLLIN }, { .fd = button, .events = POLLIN } };
			if (ppoll(input, 2, &wait, NULL) > 0) {
				char c;
				if (input[1].revents) read_button(button);
				if (input[0].revents && read(0, &c, 1) == 1) {
					if (c == '\n' || c == '\r') line[line_length] = 0, line_length = 0, command(line);
					else if (line_length < sizeof line - 1) line[line_length++] = c;
				}
			}
			continue;
		}
		/* An absolute schedule, so that ticks don't drift; after a long stop it starts anew instead of catching up. */
		if (left < -period_ms * 1000000LL) next = now;
		next.tv_nsec += period_ms * 1000000L;
		next.tv_sec += next.tv_nsec / 1000000000L;
		next.tv_nsec %= 1000000000L;

		tick++;
		say("tick %lu up %lld.%02ld", tick, (long long)now.tv_sec, now.tv_nsec / 10000000);
		for (size_t i = 0; i < sizeof disks / sizeof *disks; i++) record(&disks[i]);
		check(words / 25 + 1);
		if (tick % 5 == 0) {
			char current[32];
			if (words) say("pattern ok %zu bad %zu pass %lu", good, bad, pass);
			read_word(clock_path, current, sizeof current);
			if (strcmp(current, clocksource)) strcpy(clocksource, current), say("clock %s", current);
		}
	}
}

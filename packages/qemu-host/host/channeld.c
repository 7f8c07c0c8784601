// SPDX-License-Identifier: Apache-2.0
/*
 * The inner end of the command channel (the outer one is src/Channel.ts; both follow src/ChannelProtocol.ts).
 *
 * Every virtio-serial port named "liveupdate.N" serves one client at a time; a client may run one command at a time.
 * Messages are lines, each preceded and followed by a newline, so a line torn by a kexec spoils itself only:
 *
 *   client -> daemon                                   daemon -> client
 *   Q                    I am new, say hello           H <boot id>         hello: at start, on connect, on Q
 *   R <id> <base64>      run: cwd, env.., "", argv..   O|E <id> <base64>   standard output, error
 *   I <id> <base64>      standard input                X <id> exit <code> | X <id> signal <number>
 *   C <id>               end of standard input         F <id> <errno>      the command could not be started
 *   S <id> <signum>      signal the process group
 *
 * Ids keep what a former client left in the queues apart from what belongs to this one.
 * The daemon sleeps in poll(2) for as long as nothing happens: a port whose client is away reports POLLHUP for ever and is
 * therefore left out of the set; SIGIO (drivers/char/virtio_console.c, send_sigio_to_port) tells that one came or went.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_PORTS = 32,
	MAX_JOBS = 128,
	LINE_MAX_BYTES = 1 << 20,  /* longest line a client may send */
	HIGH_WATER = 256 << 10,    /* stop reading a source while its sink holds more than this */
	CHUNK = 12 << 10,          /* bytes of output in one message */
	GRACE_MS = 10000,          /* from SIGTERM to SIGKILL once the client is gone */
};

struct buffer { char *data; size_t start, end, cap; };

struct job;
struct port {
	char name[32];
	int fd, connected, skip;   /* skip: dropping the rest of an overlong line */
	char *line; size_t line_len;
	struct buffer out;
	struct job *job;
};
struct job {
	pid_t pid;                 /* 0: slot is free */
	char id[40];
	struct port *port;         /* NULL once the client is gone */
	int in, out, err;          /* our ends of the pipes, -1 when closed */
	struct buffer input; int input_end;
	int exited, status;
	long long kill_at;         /* monotonic ms; 0: not being ended */
};

static struct port ports[MAX_PORTS];
static int port_count;
static struct job jobs[MAX_JOBS];
static char boot_id[40];
static sigset_t original_mask;

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static size_t pending(const struct buffer *b) { return b->end - b->start; }

static char *reserve(struct buffer *b, size_t n)
{
	if (b->start == b->end) b->start = b->end = 0;
	if (b->end + n > b->cap) {
		memmove(b->data, b->data + b->start, pending(b));
		b->end -= b->start;
		b->start = 0;
		if (b->end + n > b->cap) {
			b->cap = (b->end + n) * 2;
			b->data = realloc(b->data, b->cap);
			if (!b->data) abort();
		}
	}
	return b->data + b->end;
}

static void put(struct buffer *b, const void *p, size_t n)
{
	memcpy(reserve(b, n), p, n);
	b->end += n;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct buffer *b, const unsigned char *p, size_t n)
{
	char *o = reserve(b, (n + 2) / 3 * 4), *start = o;
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = p[i] << 16 | (i + 1 < n ? p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		*o++ = alphabet[v >> 18];
		*o++ = alphabet[v >> 12 & 63];
		*o++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
		*o++ = i + 2 < n ? alphabet[v & 63] : '=';
	}
	b->end += o - start;
}

/* Decodes in place; -1 when it is no base64. */
static ssize_t from_base64(char *s)
{
	static signed char value[256];
	static int ready;
	if (!ready) {
		memset(value, -1, sizeof value);
		for (int i = 0; i < 64; i++) value[(unsigned char)alphabet[i]] = i;
		ready = 1;
	}
	unsigned char *first = (unsigned char *)s, *o = first;
	unsigned acc = 0;
	int bits = 0;
	for (; *s && *s != '='; s++) {
		int v = value[(unsigned char)*s];
		if (v < 0) return -1;
		acc = acc << 6 | v;
		if ((bits += 6) >= 8) *o++ = acc >> (bits -= 8);
	}
	while (*s == '=') s++;
	return *s ? -1 : o - first;
}

static void say(struct port *p, const char *format, ...)
{
	char text[160];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	put(&p->out, "\n", 1);
	put(&p->out, text, n);
	put(&p->out, "\n", 1);
}

static void say_bytes(struct port *p, char type, const char *id, const void *data, size_t n)
{
	char head[64];
	int len = snprintf(head, sizeof head, "\n%c %s ", type, id);
	put(&p->out, head, len);
	put_base64(&p->out, data, n);
	put(&p->out, "\n", 1);
}

static void hello(struct port *p) { say(p, "H %s", boot_id); }

static void close_fd(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

/* The client is gone or wants something else: end the command; what it still writes goes nowhere. */
static void abandon(struct port *p)
{
	struct job *j = p->job;
	if (!j) return;
	p->job = NULL;
	j->port = NULL;
	close_fd(&j->in);
	if (!j->exited) {
		kill(-j->pid, SIGTERM);
		j->kill_at = now_ms() + GRACE_MS;
	}
}

static void disconnected(struct port *p)
{
	p->connected = 0;
	p->line_len = 0;
	p->skip = 0;
	p->out.start = p->out.end = 0;
	abandon(p);
}

static void run(struct port *p, const char *id, char *strings, size_t n)
{
	abandon(p);
	struct job *j = NULL;
	for (int i = 0; i < MAX_JOBS && !j; i++)
		if (!jobs[i].pid) j = &jobs[i];
	if (!j) { say(p, "F %s %d", id, EAGAIN); return; }

	/* cwd NUL (NAME=value NUL)* NUL (argument NUL)+ */
	char *cwd = strings, *end = strings + n;
	size_t count = 0;
	for (char *s = strings; s < end; s += strlen(s) + 1) count++;
	char **argv = calloc(count + 1, sizeof *argv), **env = calloc(count + 1, sizeof *env);
	size_t argc = 0, envc = 0;
	int in_argv = 0;
	for (char *s = cwd + strlen(cwd) + 1; s < end; s += strlen(s) + 1) {
		if (!in_argv && !*s) in_argv = 1;
		else if (in_argv) argv[argc++] = s;
		else env[envc++] = s;
	}
	int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, failure[2] = {-1, -1};
	if (!argc) { errno = EINVAL; goto failed; }
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(failure, O_CLOEXEC)) goto failed;
	pid_t pid = fork();
	if (pid < 0) goto failed;
	if (pid == 0) {
		setsid();
		sigprocmask(SIG_SETMASK, &original_mask, NULL);
		signal(SIGPIPE, SIG_DFL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		for (size_t i = 0; i < envc; i++) putenv(env[i]);
		if (!*cwd || chdir(cwd) == 0) execvp(argv[0], argv);
		int e = errno;
		if (write(failure[1], &e, sizeof e) < 0) _exit(126);
		_exit(127);
	}
	close(in[0]), close(out[1]), close(err[1]), close(failure[1]);
	int e = 0;
	ssize_t got;
	while ((got = read(failure[0], &e, sizeof e)) < 0 && errno == EINTR);
	close(failure[0]);
	free(argv), free(env);
	if (got == sizeof e) {
		waitpid(pid, NULL, 0);
		close(in[1]), close(out[0]), close(err[0]);
		say(p, "F %s %d", id, e);
		return;
	}
	*j = (struct job){ .pid = pid, .port = p, .in = in[1], .out = out[0], .err = err[0], .input = j->input };
	j->input.start = j->input.end = 0;
	snprintf(j->id, sizeof j->id, "%s", id);
	fcntl(j->in, F_SETFL, O_NONBLOCK);
	fcntl(j->out, F_SETFL, O_NONBLOCK);
	fcntl(j->err, F_SETFL, O_NONBLOCK);
	p->job = j;
	return;
failed:
	say(p, "F %s %d", id, errno);
	for (int i = 0; i < 2; i++) close_fd(&in[i]), close_fd(&out[i]), close_fd(&err[i]), close_fd(&failure[i]);
	free(argv), free(env);
}

static void flush_input(struct job *j)
{
	while (j->in >= 0 && pending(&j->input)) {
		ssize_t n = write(j->in, j->input.data + j->input.start, pending(&j->input));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) return;
		if (n < 0) { close_fd(&j->in); break; }  /* EPIPE: the command does not want it */
		j->input.start += n;
	}
	if (j->in < 0) j->input.start = j->input.end = 0;
	else if (j->input_end) close_fd(&j->in);
}

static void message(struct port *p, char *line)
{
	char type = line[0], *id = NULL, *rest = NULL;
	if (!type || (line[1] && line[1] != ' ')) return;
	if (type == 'Q') { abandon(p); hello(p); return; }
	if (!line[1]) return;
	id = line + 2;
	if ((rest = strchr(id, ' '))) *rest++ = 0;
	if (!*id || strlen(id) >= sizeof jobs->id) return;
	if (type == 'R' && rest) {
		ssize_t n = from_base64(rest);
		if (n > 0 && rest[n - 1] == 0) run(p, id, rest, n);
		else say(p, "F %s %d", id, EBADMSG);
		return;
	}
	struct job *j = p->job;
	if (!j || strcmp(j->id, id)) return;
	if (type == 'I' && rest) {
		ssize_t n = from_base64(rest);
		if (n > 0 && j->in >= 0) put(&j->input, rest, n), flush_input(j);
	} else if (type == 'C') {
		j->input_end = 1;
		flush_input(j);
	} else if (type == 'S' && rest && !j->exited) {
		kill(-j->pid, atoi(rest));
	}
}

static void read_port(struct port *p)
{
	char chunk[32768];
	ssize_t n = read(p->fd, chunk, sizeof chunk);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n <= 0) { disconnected(p); return; }
	for (char *c = chunk, *end = chunk + n; c < end;) {
		char *nl = memchr(c, '\n', end - c);
		size_t len = (nl ? nl : end) - c;
		if (p->line_len + len >= LINE_MAX_BYTES) p->skip = 1, p->line_len = 0;
		if (!p->skip) memcpy(p->line + p->line_len, c, len), p->line_len += len;
		if (nl) {
			p->line[p->line_len] = 0;
			if (!p->skip && p->line_len) message(p, p->line);
			p->line_len = 0;
			p->skip = 0;
		}
		c += len + (nl != NULL);
	}
}

static void write_port(struct port *p)
{
	while (pending(&p->out)) {
		ssize_t n = write(p->fd, p->out.data + p->out.start, pending(&p->out));
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return;
		p->out.start += n;
	}
}

/* Reads one chunk of output; 0 when there is none at the moment or ever. */
static int read_output(struct job *j, int *fd, char type)
{
	char chunk[CHUNK];
	if (*fd < 0) return 0;
	ssize_t n = read(*fd, chunk, sizeof chunk);
	if (n < 0 && errno == EINTR) return 1;
	if (n < 0 && errno == EAGAIN) return 0;
	if (n <= 0) { close_fd(fd); return 0; }
	if (j->port) say_bytes(j->port, type, j->id, chunk, n);
	return 1;
}

/*
 * Ends a job whose process is gone. Its pipes are drained of what is in them, not until end of file: a command may leave
 * a virtual machine behind that holds them.
 */
static void finish(struct job *j)
{
	while (read_output(j, &j->out, 'O'));
	while (read_output(j, &j->err, 'E'));
	close_fd(&j->in), close_fd(&j->out), close_fd(&j->err);
	if (j->port) {
		if (WIFSIGNALED(j->status)) say(j->port, "X %s signal %d", j->id, WTERMSIG(j->status));
		else say(j->port, "X %s exit %d", j->id, WEXITSTATUS(j->status));
		j->port->job = NULL;
	}
	free(j->input.data);
	memset(j, 0, sizeof *j);
}

static void reap(void)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < MAX_JOBS; i++)
			if (jobs[i].pid == pid) jobs[i].exited = 1, jobs[i].status = status, finish(&jobs[i]);
}

/* Opens ports that have appeared; the kernel adds them one by one while it talks to the device. */
static void find_ports(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	if (!dir) return;
	while ((entry = readdir(dir))) {
		char path[320], name[32] = "";
		if (entry->d_name[0] == '.') continue;
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
		FILE *file = fopen(path, "re");
		if (!file) continue;
		if (fscanf(file, "%31s", name) != 1) name[0] = 0;
		fclose(file);
		int known = strncmp(name, "liveupdate.", 11) != 0 || port_count == MAX_PORTS;
		for (int i = 0; i < port_count; i++) known |= !strcmp(ports[i].name, name);
		if (known) continue;
		snprintf(path, sizeof path, "/dev/%s", entry->d_name);
		int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0) continue;
		struct port *p = &ports[port_count++];
		strcpy(p->name, name);
		p->fd = fd;
		p->line = malloc(LINE_MAX_BYTES);
		if (!p->line) abort();
		fcntl(fd, F_SETOWN, getpid());
		fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
	}
	closedir(dir);
}

static void check_connections(void)
{
	for (int i = 0; i < port_count; i++) {
		struct pollfd one = { .fd = ports[i].fd, .events = POLLIN };
		if (poll(&one, 1, 0) < 0) continue;
		int connected = !(one.revents & (POLLHUP | POLLERR));
		if (connected && !ports[i].connected) ports[i].connected = 1, hello(&ports[i]);
		else if (!connected && ports[i].connected) disconnected(&ports[i]);
	}
}

int main(void)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (!file || fscanf(file, "%39s", boot_id) != 1) { fprintf(stderr, "channeld: no boot id; is /proc mounted?\n"); return 1; }
	fclose(file);

	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGIO);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &original_mask);
	signal(SIGPIPE, SIG_IGN);
	int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	int events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	if (signals < 0 || events < 0 || bind(events, (struct sockaddr *)&address, sizeof address)) { perror("channeld"); return 1; }
	find_ports();
	check_connections();

	for (;;) {
		static struct pollfd set[2 + MAX_PORTS + 3 * MAX_JOBS];
		static struct { struct port *port; struct job *job; int *fd; char type; } who[2 + MAX_PORTS + 3 * MAX_JOBS];
		int n = 0;
		long long wake = 0;
		set[n++] = (struct pollfd){ .fd = signals, .events = POLLIN };
		set[n++] = (struct pollfd){ .fd = events, .events = POLLIN };
		for (int i = 0; i < port_count; i++) {
			struct port *p = &ports[i];
			if (!p->connected) continue;
			write_port(p);
			int full = p->job && pending(&p->job->input) > HIGH_WATER;
			who[n].port = p, who[n].job = NULL;
			set[n++] = (struct pollfd){ .fd = p->fd, .events = (full ? 0 : POLLIN) | (pending(&p->out) ? POLLOUT : 0) };
		}
		for (int i = 0; i < MAX_JOBS; i++) {
			struct job *j = &jobs[i];
			if (!j->pid) continue;
			if (j->kill_at && (!wake || j->kill_at < wake)) wake = j->kill_at;
			int room = !j->port || pending(&j->port->out) < HIGH_WATER;
			struct { int *fd; char type; short events; int want; } ends[3] = {
				{ &j->out, 'O', POLLIN, room }, { &j->err, 'E', POLLIN, room },
				{ &j->in, 'I', POLLOUT, pending(&j->input) > 0 },
			};
			for (int k = 0; k < 3; k++) {
				if (*ends[k].fd < 0 || !ends[k].want) continue;
				who[n].port = NULL, who[n].job = j, who[n].fd = ends[k].fd, who[n].type = ends[k].type;
				set[n++] = (struct pollfd){ .fd = *ends[k].fd, .events = ends[k].events };
			}
		}
		long long wait = wake ? wake - now_ms() : -1;
		if (poll(set, n, wake ? (wait > 0 ? (int)wait : 0) : -1) < 0 && errno != EINTR) { perror("channeld: poll"); return 1; }

		for (int i = 2; i < n; i++) {
			if (!set[i].revents) continue;
			struct port *p = who[i].port;
			struct job *j = who[i].job;
			if (p) {
				if (set[i].revents & POLLOUT) write_port(p);
				if (set[i].revents & POLLIN) read_port(p);
				else if (set[i].revents & (POLLHUP | POLLERR)) disconnected(p);
			} else if (j->pid && *who[i].fd == set[i].fd) {
				if (who[i].type == 'I') flush_input(j);
				else read_output(j, who[i].fd, who[i].type);
			}
		}
		/* Signals last: a command's output is taken before its end. */
		if (set[0].revents) {
			struct signalfd_siginfo info;
			while (read(signals, &info, sizeof info) == sizeof info);
			check_connections();
			reap();
		}
		if (set[1].revents) {
			char junk[8192];
			while (recv(events, junk, sizeof junk, 0) > 0);
			find_ports();
			check_connections();
		}
		for (int i = 0; wake && i < MAX_JOBS; i++)
			if (jobs[i].pid && jobs[i].kill_at && jobs[i].kill_at <= now_ms()) {
				kill(-jobs[i].pid, SIGKILL);
				jobs[i].kill_at = now_ms() + GRACE_MS;
			}
	}
}

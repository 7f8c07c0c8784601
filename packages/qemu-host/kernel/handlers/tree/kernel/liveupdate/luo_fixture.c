// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on demand for the test fixture (include/linux/liveupdate_fixture.h). They hit the callbacks of all handlers, the mainline's
 * own too.
 *
 *   echo 'NTH[+] [ERRNO [MILLISECONDS]]' >/sys/kernel/debug/liveupdate-fixture/OP
 *
 * OP is can_preserve, preserve, freeze, retrieve or can_finish. The NTH file from now on that comes to it, and with a + all after it,
 * waits MILLISECONDS and then fails with ERRNO (a number, 0: it doesn't fail); NTH 0 takes a fault back. can_preserve says that
 * there is no handler (ENOENT) and can_finish EBUSY, whatever the number.
 *
 *   echo 'COMPATIBLE OTHER' >/sys/kernel/debug/liveupdate-fixture/abi
 *
 * Files whose handler is COMPATIBLE are handed over as OTHER's, which the next kernel doesn't know; a line without words takes that back.
 *
 * The same on a kernel's command line, as nothing can be written there before sessions are retrieved:
 * liveupdate_fixture=OP:NTH[+][:ERRNO[:MILLISECONDS]][,...]
 */

#define pr_fmt(fmt) "liveupdate fixture: " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_fixture.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>

struct fault {
	const char *name;
	/* 0: none */
	unsigned int nth;
	/* All after it, too */
	bool on;
	unsigned int seen;
	unsigned int error;
	unsigned int milliseconds;
};

static struct fault faults[LUO_FIXTURE_OPS] = {
	[LUO_FIXTURE_CAN_PRESERVE] = { .name = "can_preserve" },
	[LUO_FIXTURE_PRESERVE] = { .name = "preserve" },
	[LUO_FIXTURE_FREEZE] = { .name = "freeze" },
	[LUO_FIXTURE_RETRIEVE] = { .name = "retrieve" },
	[LUO_FIXTURE_CAN_FINISH] = { .name = "can_finish" },
};

static char abi_from[LIVEUPDATE_HNDL_COMPAT_LENGTH];
static char abi_to[LIVEUPDATE_HNDL_COMPAT_LENGTH];

/* Of all of the above. */
static DEFINE_SPINLOCK(fixture_lock);

/* 0, or the negated errno that the file whose turn it is has to fail with. */
int luo_fixture_fault(enum luo_fixture_op op)
{
	struct fault *fault = &faults[op];
	unsigned int milliseconds, seen;
	int error;

	scoped_guard(spinlock, &fixture_lock) {
		if (!fault->nth)
			return 0;
		seen = ++fault->seen;
		if (seen < fault->nth)
			return 0;
		if (!fault->on)
			fault->nth = 0;
		error = fault->error;
		milliseconds = fault->milliseconds;
	}

	pr_info("%s of file %u: errno %d after %u ms\n", fault->name, seen, error, milliseconds);
	if (milliseconds)
		msleep(milliseconds);

	return -error;
}

/* As what files of a handler are handed over. */
const char *luo_fixture_abi(const char *compatible)
{
	guard(spinlock)(&fixture_lock);

	return abi_to[0] && !strcmp(compatible, abi_from) ? abi_to : compatible;
}

static int arm(struct fault *fault, char *text, const char *separators)
{
	unsigned int numbers[3] = {};
	unsigned int count = 0;
	bool on = false;
	char *word;

	while ((word = strsep(&text, separators))) {
		size_t length = strlen(word);

		if (!length)
			continue;
		if (!count && word[length - 1] == '+') {
			word[length - 1] = '\0';
			on = true;
		}
		if (count == ARRAY_SIZE(numbers) || kstrtouint(word, 10, &numbers[count++]))
			return -EINVAL;
	}
	if (!count || numbers[1] > MAX_ERRNO)
		return -EINVAL;

	guard(spinlock)(&fixture_lock);
	fault->nth = numbers[0];
	fault->on = on;
	fault->seen = 0;
	fault->error = numbers[1];
	fault->milliseconds = numbers[2];

	return 0;
}

static int fault_show(struct seq_file *m, void *unused)
{
	struct fault *fault = m->private;

	guard(spinlock)(&fixture_lock);
	if (fault->nth)
		seq_printf(m, "%u%s %u %u seen %u\n", fault->nth, fault->on ? "+" : "", fault->error,
			   fault->milliseconds, fault->seen);

	return 0;
}

static int fault_open(struct inode *inode, struct file *file)
{
	return single_open(file, fault_show, inode->i_private);
}

static ssize_t read_line(char *text, size_t size, const char __user *from, size_t count)
{
	if (count >= size)
		return -EINVAL;
	if (copy_from_user(text, from, count))
		return -EFAULT;
	text[count] = '\0';

	return 0;
}

static ssize_t fault_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	struct fault *fault = file_inode(file)->i_private;
	char text[64];
	int err;

	err = read_line(text, sizeof(text), from, count) ?: arm(fault, strim(text), " ");

	return err ?: count;
}

static const struct file_operations fault_fops = {
	.open = fault_open,
	.read = seq_read,
	.write = fault_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static ssize_t abi_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	char text[2 * LIVEUPDATE_HNDL_COMPAT_LENGTH];
	char *other, *compatible;
	int err;

	err = read_line(text, sizeof(text), from, count);
	if (err)
		return err;

	other = strim(text);
	compatible = strsep(&other, " ");

	guard(spinlock)(&fixture_lock);
	if (!*compatible) {
		abi_to[0] = '\0';
		return count;
	}
	if (!other || !*other || strlen(other) >= sizeof(abi_to) || strlen(compatible) >= sizeof(abi_from))
		return -EINVAL;
	strscpy(abi_from, compatible);
	strscpy(abi_to, other);

	return count;
}

static const struct file_operations abi_fops = {
	.open = nonseekable_open,
	.write = abi_write,
};

static int __init command_line(char *text)
{
	char *fault, *op;

	while ((fault = strsep(&text, ","))) {
		bool known = false;

		op = strsep(&fault, ":");
		for (int i = 0; fault && i < ARRAY_SIZE(faults); i++)
			if (!strcmp(op, faults[i].name))
				known = !arm(&faults[i], fault, ":");
		if (!known)
			pr_err("liveupdate_fixture=%s: not OP:NTH[+][:ERRNO[:MILLISECONDS]]\n", op);
	}

	return 1;
}
__setup("liveupdate_fixture=", command_line);

static int __init luo_fixture_init(void)
{
	struct dentry *directory = debugfs_create_dir("liveupdate-fixture", NULL);

	for (int i = 0; i < ARRAY_SIZE(faults); i++)
		debugfs_create_file(faults[i].name, 0600, directory, &faults[i], &fault_fops);
	debugfs_create_file("abi", 0200, directory, NULL, &abi_fops);
	pr_info("handlers for VFIO devices, iommufds and guests' memory: for tests, not for production\n");

	return 0;
}
late_initcall(luo_fixture_init);

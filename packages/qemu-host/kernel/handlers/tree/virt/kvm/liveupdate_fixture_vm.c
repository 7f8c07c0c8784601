// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test fixture (include/linux/liveupdate_fixture.h): KVM VMs through a live update. Part of kvm_main.c, which makes VMs.
 *
 * Handed over: the type, and nothing else. No memory slots, no interrupt controller, no processors. A VM belongs to the process
 * that retrieves it, as it does to the one that creates it: requests of another one are EIO.
 */

#include <linux/fdtable.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_fixture.h>

static bool kvm_vm_fixture_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file_is_kvm(file);
}

static int kvm_vm_fixture_preserve(struct liveupdate_file_op_args *args)
{
	struct kvm *kvm = args->file->private_data;

	/* The value itself, it fits. */
	args->serialized_data = kvm->arch.vm_type;

	return 0;
}

static void kvm_vm_fixture_unpreserve(struct liveupdate_file_op_args *args)
{
}

static int kvm_vm_fixture_retrieve(struct liveupdate_file_op_args *args)
{
	int fd = kvm_dev_ioctl_create_vm(args->serialized_data);

	if (fd < 0)
		return fd;
	args->file = fget(fd);
	close_fd(fd);

	return args->file ? 0 : -EBADF;
}

static void kvm_vm_fixture_finish(struct liveupdate_file_op_args *args)
{
}

static const struct liveupdate_file_ops kvm_vm_fixture_ops = {
	.can_preserve = kvm_vm_fixture_can_preserve,
	.preserve = kvm_vm_fixture_preserve,
	.unpreserve = kvm_vm_fixture_unpreserve,
	.retrieve = kvm_vm_fixture_retrieve,
	.finish = kvm_vm_fixture_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler kvm_vm_fixture_handler = {
	.ops = &kvm_vm_fixture_ops,
	.compatible = "kvm_vm_luo_v1",
};

LUO_FIXTURE_REGISTER(kvm_vm_fixture_handler);

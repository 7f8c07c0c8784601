/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TEST FIXTURE, not for production: handlers for files that Linux 7.3 doesn't preserve (VFIO devices, iommufds, KVM VMs,
 * guest_memfds), so that software which drives them through a live update can be tested on a running kernel. They follow the
 * rules of the handlers that are proposed upstream, as far as these are known, and are written anew from those rules.
 *
 * What they don't do: DMA goes on for no device while the kernel changes (a device is reset before it, where it can be), no IOMMU
 * page table lives on (mappings are made again on the memory that came back), a VM has neither memory slots nor processors when
 * it comes back, and nothing here was looked at for what a malicious user could do with it.
 */
#ifndef _LINUX_LIVEUPDATE_FIXTURE_H
#define _LINUX_LIVEUPDATE_FIXTURE_H

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/types.h>

struct file;
struct iommufd_ctx;
struct luo_file_set;
struct vfio_device;
struct vfio_device_file;

/* What can be made to fail, in debugfs and on the command line: kernel/liveupdate/luo_fixture.c */
enum luo_fixture_op {
	LUO_FIXTURE_CAN_PRESERVE,
	LUO_FIXTURE_PRESERVE,
	LUO_FIXTURE_FREEZE,
	LUO_FIXTURE_RETRIEVE,
	LUO_FIXTURE_CAN_FINISH,
	LUO_FIXTURE_OPS,
};

int luo_fixture_fault(enum luo_fixture_op op);
const char *luo_fixture_abi(const char *compatible);

/*
 * What a handler may ask about the session of its file: kernel/liveupdate/luo_file.c. All are called from a handler's callback, with
 * the session's lock held, but for luo_fixture_is(), whose caller makes sure that the session isn't finished meanwhile.
 */
int luo_fixture_token(struct luo_file_set *set, bool (*match)(struct file *file, const void *what), const void *what,
		      u64 *token);
int luo_fixture_file(struct luo_file_set *set, u64 token, struct file **filep);
bool luo_fixture_is(struct luo_file_set *set, u64 token, const struct file *file);

/* Where live update is off there is nobody to register with. */
#define LUO_FIXTURE_REGISTER(handler)						\
	static int __init handler##_register(void)				\
	{									\
		int err = liveupdate_register_file_handler(&(handler));		\
										\
		return err == -EOPNOTSUPP ? 0 : err;				\
	}									\
	late_initcall(handler##_register)

/* Sessions of the last kernel are known from now on, so that what arrives in them is. */
void luo_fixture_arrivals(void);

/* drivers/iommu/iommufd/liveupdate_fixture.c */
struct file *iommufd_fixture_file(struct iommufd_ctx *ictx);

/* drivers/vfio/pci/liveupdate_fixture.c */
bool vfio_fixture_expected(struct vfio_device *device);
bool vfio_fixture_may_bind(struct vfio_device_file *df);

#endif /* _LINUX_LIVEUPDATE_FIXTURE_H */

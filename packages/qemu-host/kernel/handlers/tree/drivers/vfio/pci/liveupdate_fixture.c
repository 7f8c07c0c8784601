// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test fixture (include/linux/liveupdate_fixture.h): VFIO devices through a live update.
 *
 * Taken: the file of a device's node (/dev/vfio/devices/vfioN) that is bound to an iommufd, of vfio-pci itself, no virtual function;
 * anything else has no handler (ENOENT). Its iommufd has to be in the same session (ENOENT). Until the session ends it isn't
 * attached or detached (EBUSY).
 *
 * The freeze wants its interrupts off and its power state D0 (EINVAL), resets it where it can be reset, and takes it from its user:
 * every request is EIO from then on, even if there is no jump after all.
 *
 * On the next kernel its node is EBUSY until the session is finished. The file that comes back may be bound (other requests: EINVAL),
 * to the iommufd that came with it alone (EPERM), and the session is finished only then.
 */

#include <linux/anon_inodes.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_fixture.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "../vfio.h"
#include "vfio_pci_priv.h"

struct vfio_fixture_ser {
	u32 domain;
	u16 bus;
	u16 devfn;
	u64 iommufd_token;
};

/* A device that the last kernel has handed over, until its session is finished. */
struct vfio_fixture_arrival {
	struct list_head list;
	u64 serialized_data;
	u32 domain;
	u16 bus;
	u16 devfn;
};

static LIST_HEAD(vfio_fixture_arrivals);
static DEFINE_MUTEX(vfio_fixture_lock);

static struct pci_dev *vfio_fixture_pci(struct vfio_device *device)
{
	if (!device->ops || strcmp(device->ops->name, "vfio-pci"))
		return NULL;

	return to_pci_dev(device->dev);
}

bool vfio_fixture_expected(struct vfio_device *device)
{
	struct pci_dev *pdev = vfio_fixture_pci(device);
	struct vfio_fixture_arrival *arrival;

	if (!pdev)
		return false;
	luo_fixture_arrivals();

	guard(mutex)(&vfio_fixture_lock);
	list_for_each_entry(arrival, &vfio_fixture_arrivals, list)
		if (arrival->domain == pci_domain_nr(pdev->bus) && arrival->bus == pdev->bus->number &&
		    arrival->devfn == pdev->devfn)
			return true;

	return false;
}

/* Its iommufd is known, the lock of its device set held, as it is when the session is finished. */
bool vfio_fixture_may_bind(struct vfio_device_file *df)
{
	lockdep_assert_held(&df->device->dev_set->lock);

	return !df->lu_set || luo_fixture_is(df->lu_set, df->lu_iommufd_token, iommufd_fixture_file(df->iommufd));
}

static bool vfio_fixture_is_file(struct file *file, const void *what)
{
	return file == what;
}

static bool vfio_fixture_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	struct vfio_device_file *df = file->private_data;
	struct pci_dev *pdev;

	/* Paired with smp_store_release() in vfio_df_ioctl_bind_iommufd() */
	if (file->f_op != &vfio_device_fops || df->group || !smp_load_acquire(&df->access_granted))
		return false;
	pdev = vfio_fixture_pci(df->device);

	return pdev && !pdev->is_virtfn;
}

static int vfio_fixture_preserve(struct liveupdate_file_op_args *args)
{
	struct vfio_device_file *df = args->file->private_data;
	struct pci_dev *pdev = vfio_fixture_pci(df->device);
	struct vfio_fixture_ser *ser;
	u64 token;
	int err;

	guard(mutex)(&df->device->dev_set->lock);
	err = luo_fixture_token(args->set, vfio_fixture_is_file, iommufd_fixture_file(df->iommufd), &token);
	if (err)
		return err;
	ser = kho_alloc_preserve(sizeof(*ser));
	if (IS_ERR(ser))
		return PTR_ERR(ser);
	ser->domain = pci_domain_nr(pdev->bus);
	ser->bus = pdev->bus->number;
	ser->devfn = pdev->devfn;
	ser->iommufd_token = token;
	df->lu_preserved = true;
	args->serialized_data = virt_to_phys(ser);

	return 0;
}

static void vfio_fixture_unpreserve(struct liveupdate_file_op_args *args)
{
	struct vfio_device_file *df = args->file->private_data;

	scoped_guard(mutex, &df->device->dev_set->lock)
		df->lu_preserved = false;
	kho_unpreserve_free(phys_to_virt(args->serialized_data));
}

static int vfio_fixture_freeze(struct liveupdate_file_op_args *args)
{
	struct vfio_device_file *df = args->file->private_data;
	struct vfio_pci_core_device *vdev = container_of(df->device, struct vfio_pci_core_device, vdev);
	int err;

	guard(mutex)(&df->device->dev_set->lock);
	if (vdev->irq_type != VFIO_PCI_NUM_IRQS || vdev->pdev->current_state != PCI_D0)
		return -EINVAL;

	WRITE_ONCE(df->lu_dead, true);
	vfio_pci_zap_and_down_write_memory_lock(vdev);
	pci_clear_master(vdev->pdev);
	err = pci_try_reset_function(vdev->pdev);
	up_write(&vdev->memory_lock);
	if (err)
		pci_info(vdev->pdev, "handed over without a reset: %pe\n", ERR_PTR(err));

	return 0;
}

static void vfio_fixture_arrive(struct liveupdate_file_op_args *args)
{
	struct vfio_fixture_ser *ser = phys_to_virt(args->serialized_data);
	struct vfio_fixture_arrival *arrival = kzalloc_obj(*arrival);

	if (WARN_ON(!arrival))
		return;
	arrival->serialized_data = args->serialized_data;
	arrival->domain = ser->domain;
	arrival->bus = ser->bus;
	arrival->devfn = ser->devfn;

	guard(mutex)(&vfio_fixture_lock);
	list_add(&arrival->list, &vfio_fixture_arrivals);
}

static void vfio_fixture_settle(u64 serialized_data)
{
	struct vfio_fixture_arrival *arrival, *next;

	guard(mutex)(&vfio_fixture_lock);
	list_for_each_entry_safe(arrival, next, &vfio_fixture_arrivals, list) {
		if (arrival->serialized_data != serialized_data)
			continue;
		list_del(&arrival->list);
		kfree(arrival);
	}
}

static struct file *vfio_fixture_open(struct vfio_device *device, struct luo_file_set *set, u64 iommufd_token)
{
	struct vfio_device_file *df;
	struct file *file;

	if (!vfio_device_try_get_registration(device))
		return ERR_PTR(-ENODEV);
	df = vfio_allocate_device_file(device);
	if (IS_ERR(df)) {
		vfio_device_put_registration(device);
		return ERR_CAST(df);
	}
	df->lu_set = set;
	df->lu_iommufd_token = iommufd_token;
	file = anon_inode_getfile("[vfio-device-liveupdate]", &vfio_device_fops, df, O_RDWR);
	if (IS_ERR(file)) {
		kfree(df);
		vfio_device_put_registration(device);
		return file;
	}
	/* As vfio_device_fops_cdev_open() does: all mappings of a device are found together. */
	file->f_mapping = device->inode->i_mapping;
	/* As vfio_device_open_file() does: a device's regions are read and written at offsets. */
	file->f_mode |= FMODE_PREAD | FMODE_PWRITE;

	return file;
}

static int vfio_fixture_retrieve(struct liveupdate_file_op_args *args)
{
	struct vfio_fixture_ser *ser = phys_to_virt(args->serialized_data);
	struct pci_dev *pdev = pci_get_domain_bus_and_slot(ser->domain, ser->bus, ser->devfn);
	struct file *file = ERR_PTR(-ENODEV);

	if (pdev) {
		/* Its driver stays as long as this is held. */
		device_lock(&pdev->dev);
		if (pdev->driver && !strcmp(pdev->driver->name, "vfio-pci")) {
			struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

			file = vfio_fixture_open(&vdev->vdev, args->set, ser->iommufd_token);
		}
		device_unlock(&pdev->dev);
		pci_dev_put(pdev);
	}
	kho_restore_free(ser);
	if (IS_ERR(file))
		return PTR_ERR(file);
	args->file = file;

	return 0;
}

static bool vfio_fixture_can_finish(struct liveupdate_file_op_args *args)
{
	struct vfio_device_file *df;

	if (args->retrieve_status <= 0)
		return false;
	df = args->file->private_data;

	return smp_load_acquire(&df->access_granted);
}

static void vfio_fixture_finish(struct liveupdate_file_op_args *args)
{
	if (args->retrieve_status > 0) {
		struct vfio_device_file *df = args->file->private_data;

		/* It is an ordinary file of the device from now on, and the session goes. */
		guard(mutex)(&df->device->dev_set->lock);
		df->lu_set = NULL;
	} else if (!args->retrieve_status) {
		kho_restore_free(phys_to_virt(args->serialized_data));
	}
	vfio_fixture_settle(args->serialized_data);
}

static const struct liveupdate_file_ops vfio_fixture_ops = {
	.can_preserve = vfio_fixture_can_preserve,
	.preserve = vfio_fixture_preserve,
	.unpreserve = vfio_fixture_unpreserve,
	.freeze = vfio_fixture_freeze,
	.arrive = vfio_fixture_arrive,
	.retrieve = vfio_fixture_retrieve,
	.can_finish = vfio_fixture_can_finish,
	.finish = vfio_fixture_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler vfio_fixture_handler = {
	.ops = &vfio_fixture_ops,
	.compatible = "vfio-pci-v1",
};

LUO_FIXTURE_REGISTER(vfio_fixture_handler);

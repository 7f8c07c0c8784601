// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test fixture (include/linux/liveupdate_fixture.h): iommufds through a live update. Part of main.c, whose file operations it needs.
 *
 * Handed over: each IO address space with its number, and what is mapped into it. All of that has to be from memfds of the same
 * session that were sealed when they were mapped (F_SEAL_SEAL, GROW and SHRINK: else EINVAL; not in the session: ENOENT). From the preserve to
 * the session's end, and again from the retrieve to the finish, nothing is mapped into them or unmapped, and neither they nor their
 * page tables are destroyed (EBUSY). Address spaces that are made meanwhile are ordinary ones, which don't go along.
 *
 * Not handed over: page tables, devices, and all else that an iommufd may hold. Mappings are made again when it is retrieved, on the
 * memory that is retrieved with it, and reach a page table when a device is attached.
 */

#include <linux/anon_inodes.h>
#include <linux/fcntl.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_fixture.h>
#include <linux/overflow.h>

#include "io_pagetable.h"

/* Address spaces and areas in one array, each address space before its areas. */
struct iommufd_fixture_entry {
	/* Of an address space, else 0 */
	u64 ioas_id;
	u64 iova;
	u64 length;
	/* Where in the memfd, in bytes */
	u64 start;
	u64 token;
	u64 iommu_prot;
};

struct iommufd_fixture_ser {
	u64 count;
	struct iommufd_fixture_entry entries[];
};

#define IOMMUFD_FIXTURE_SEALS (F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_SHRINK)

struct file *iommufd_fixture_file(struct iommufd_ctx *ictx)
{
	return ictx->file;
}

static bool iommufd_fixture_immutable(struct iommufd_ctx *ictx, u32 id)
{
	struct iommufd_object *obj;
	bool immutable = false;

	xa_lock(&ictx->objects);
	obj = xa_load(&ictx->objects, id);
	if (obj && obj->type == IOMMUFD_OBJ_IOAS)
		immutable = container_of(obj, struct iommufd_ioas, obj)->iopt.lu_immutable;
	else if (obj && obj->type == IOMMUFD_OBJ_HWPT_PAGING)
		immutable = container_of(obj, struct iommufd_hwpt_paging, common.obj)->ioas->iopt.lu_immutable;
	xa_unlock(&ictx->objects);

	return immutable;
}

static bool iommufd_fixture_same_inode(struct file *file, const void *inode)
{
	return file_inode(file) == inode;
}

static bool iommufd_fixture_sealed(struct iopt_area *area)
{
	return area->pages && area->pages->type == IOPT_ADDRESS_FILE && area->pages->lu_seals >= 0 &&
	       (area->pages->lu_seals & IOMMUFD_FIXTURE_SEALS) == IOMMUFD_FIXTURE_SEALS;
}

/* Calls for each area of each address space, and with none for the address space itself before them. */
static int iommufd_fixture_walk(struct iommufd_ctx *ictx,
				int (*each)(struct iommufd_ioas *ioas, struct iopt_area *area, void *data), void *data)
{
	struct iommufd_object *obj;
	unsigned long index;
	int err = 0;

	xa_for_each(&ictx->objects, index, obj) {
		struct iommufd_ioas *ioas;
		struct iopt_area *area;

		if (obj->type != IOMMUFD_OBJ_IOAS)
			continue;
		ioas = container_of(obj, struct iommufd_ioas, obj);
		err = each(ioas, NULL, data);
		down_read(&ioas->iopt.iova_rwsem);
		for (area = iopt_area_iter_first(&ioas->iopt, 0, ULONG_MAX); area && !err;
		     area = iopt_area_iter_next(area, 0, ULONG_MAX))
			err = each(ioas, area, data);
		up_read(&ioas->iopt.iova_rwsem);
		if (err)
			break;
	}

	return err;
}

static int iommufd_fixture_count(struct iommufd_ioas *ioas, struct iopt_area *area, void *data)
{
	size_t *count = data;

	if (area && !iommufd_fixture_sealed(area))
		return -EINVAL;
	++*count;

	return 0;
}

struct iommufd_fixture_fill {
	struct luo_file_set *set;
	struct iommufd_fixture_ser *ser;
};

static int iommufd_fixture_add(struct iommufd_ioas *ioas, struct iopt_area *area, void *data)
{
	struct iommufd_fixture_fill *fill = data;
	struct iommufd_fixture_entry *entry = &fill->ser->entries[fill->ser->count];

	if (!area) {
		entry->ioas_id = ioas->obj.id;
	} else {
		int err = luo_fixture_token(fill->set, iommufd_fixture_same_inode, file_inode(area->pages->file),
					    &entry->token);

		if (err)
			return err;
		entry->iova = iopt_area_iova(area);
		entry->length = iopt_area_length(area);
		entry->start = area->pages->start + iopt_area_start_byte(area, entry->iova);
		entry->iommu_prot = area->iommu_prot;
	}
	fill->ser->count++;

	return 0;
}

static int iommufd_fixture_set(struct iommufd_ioas *ioas, struct iopt_area *area, void *immutable)
{
	if (!area)
		ioas->iopt.lu_immutable = *(bool *)immutable;

	return 0;
}

/* Of all that is there. With the lock held. */
static void iommufd_fixture_set_all(struct iommufd_ctx *ictx, bool immutable)
{
	iommufd_fixture_walk(ictx, iommufd_fixture_set, &immutable);
}

static bool iommufd_fixture_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &iommufd_fops;
}

static int iommufd_fixture_preserve(struct liveupdate_file_op_args *args)
{
	struct iommufd_ctx *ictx = args->file->private_data;
	struct iommufd_fixture_fill fill = { .set = args->set };
	size_t count = 0;
	int err;

	/* Nobody else is in a request: what is seen here stays. */
	guard(rwsem_write)(&ictx->lu_lock);
	err = iommufd_fixture_walk(ictx, iommufd_fixture_count, &count);
	if (err)
		return err;

	fill.ser = kho_alloc_preserve(struct_size(fill.ser, entries, count));
	if (IS_ERR(fill.ser))
		return PTR_ERR(fill.ser);
	err = iommufd_fixture_walk(ictx, iommufd_fixture_add, &fill);
	if (err) {
		kho_unpreserve_free(fill.ser);
		return err;
	}
	iommufd_fixture_set_all(ictx, true);
	args->serialized_data = virt_to_phys(fill.ser);

	return 0;
}

static void iommufd_fixture_thaw(struct file *file)
{
	struct iommufd_ctx *ictx = file->private_data;

	guard(rwsem_write)(&ictx->lu_lock);
	iommufd_fixture_set_all(ictx, false);
}

static void iommufd_fixture_unpreserve(struct liveupdate_file_op_args *args)
{
	iommufd_fixture_thaw(args->file);
	kho_unpreserve_free(phys_to_virt(args->serialized_data));
}

/* With the number that it had. Nobody else knows of the context yet. */
static struct iommufd_ioas *iommufd_fixture_ioas(struct iommufd_ctx *ictx, u32 id)
{
	struct iommufd_ioas *ioas = iommufd_ioas_alloc(ictx);
	int err;

	if (IS_ERR(ioas))
		return ioas;
	if (ioas->obj.id != id) {
		err = xa_reserve(&ictx->objects, id, GFP_KERNEL_ACCOUNT);
		if (err) {
			iommufd_object_abort_and_destroy(ictx, &ioas->obj);
			return ERR_PTR(err);
		}
		xa_release(&ictx->objects, ioas->obj.id);
		ioas->obj.id = id;
	}
	iommufd_object_finalize(ictx, &ioas->obj);

	return ioas;
}

static int iommufd_fixture_map(struct iommufd_ctx *ictx, struct iommufd_ioas *ioas, struct luo_file_set *set,
			       const struct iommufd_fixture_entry *entry)
{
	unsigned long start_byte = entry->start % PAGE_SIZE;
	unsigned long iova = entry->iova;
	struct iopt_pages *pages;
	struct file *memfd;
	int err;

	err = luo_fixture_file(set, entry->token, &memfd);
	if (err)
		return err;
	pages = iopt_alloc_file_pages(memfd, start_byte, entry->start, entry->length, entry->iommu_prot & IOMMU_WRITE);
	fput(memfd);
	if (IS_ERR(pages))
		return PTR_ERR(pages);

	return iopt_map_common(ictx, &ioas->iopt, pages, &iova, entry->length, start_byte, entry->iommu_prot, 0);
}

static int iommufd_fixture_fill_context(struct iommufd_ctx *ictx, struct luo_file_set *set,
					const struct iommufd_fixture_ser *ser)
{
	struct iommufd_ioas *ioas = NULL;
	int err;

	for (u64 i = 0; i < ser->count; i++) {
		const struct iommufd_fixture_entry *entry = &ser->entries[i];

		if (entry->ioas_id) {
			ioas = iommufd_fixture_ioas(ictx, entry->ioas_id);
			if (IS_ERR(ioas))
				return PTR_ERR(ioas);
			continue;
		}
		err = ioas ? iommufd_fixture_map(ictx, ioas, set, entry) : -EINVAL;
		if (err)
			return err;
	}

	return 0;
}

/* Of a file whose context could not be made: there is nothing to release. */
static const struct file_operations iommufd_fixture_empty_fops = {
	.owner = THIS_MODULE,
};

static int iommufd_fixture_retrieve(struct liveupdate_file_op_args *args)
{
	struct iommufd_fixture_ser *ser = phys_to_virt(args->serialized_data);
	struct iommufd_ctx *ictx;
	struct file *file;
	int err;

	file = anon_inode_create_getfile("iommufd", &iommufd_fops, NULL, O_RDWR, NULL);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto free_ser;
	}
	err = iommufd_fops_open(file_inode(file), file);
	if (err) {
		file->f_op = &iommufd_fixture_empty_fops;
		goto put_file;
	}
	ictx = file->private_data;
	err = iommufd_fixture_fill_context(ictx, args->set, ser);
	if (err)
		goto put_file;
	/* Nobody else has the file yet. */
	iommufd_fixture_set_all(ictx, true);
	kho_restore_free(ser);
	args->file = file;

	return 0;

put_file:
	fput(file);
free_ser:
	kho_restore_free(ser);
	return err;
}

static bool iommufd_fixture_can_finish(struct liveupdate_file_op_args *args)
{
	return args->retrieve_status > 0;
}

static void iommufd_fixture_finish(struct liveupdate_file_op_args *args)
{
	if (args->retrieve_status > 0)
		iommufd_fixture_thaw(args->file);
	else if (!args->retrieve_status)
		kho_restore_free(phys_to_virt(args->serialized_data));
}

static const struct liveupdate_file_ops iommufd_fixture_ops = {
	.can_preserve = iommufd_fixture_can_preserve,
	.preserve = iommufd_fixture_preserve,
	.unpreserve = iommufd_fixture_unpreserve,
	.retrieve = iommufd_fixture_retrieve,
	.can_finish = iommufd_fixture_can_finish,
	.finish = iommufd_fixture_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler iommufd_fixture_handler = {
	.ops = &iommufd_fixture_ops,
	.compatible = "iommufd-v1",
};

LUO_FIXTURE_REGISTER(iommufd_fixture_handler);

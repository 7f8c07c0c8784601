// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test fixture (include/linux/liveupdate_fixture.h): guest_memfds through a live update. Part of guest_memfd.c, which makes them.
 *
 * Taken: memory that began shared (GUEST_MEMFD_FLAG_INIT_SHARED), in pages of 4 KiB, as all are. From the preserve to the session's
 * end no page comes or goes: a first touch is SIGBUS, fallocate is EPERM. The jump is refused (ENOENT) unless its VM goes along in
 * the same session. Its pages, and where there are none, come back as they were, with the VM that came with them.
 */

#include <linux/fdtable.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_fixture.h>
#include <linux/folio_batch.h>
#include <linux/vmalloc.h>

struct gmem_fixture_page {
	u64 pfn;
	u64 index;
	u64 uptodate;
};

struct gmem_fixture_ser {
	u64 size;
	u64 flags;
	u64 vm_token;
	u64 count;
	struct kho_vmalloc pages;
};

static bool gmem_fixture_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &kvm_gmem_fops && (GMEM_I(file_inode(file))->flags & GUEST_MEMFD_FLAG_INIT_SHARED);
}

/* Both kernels tell the same file by its inode, as it is the memory that can't be handed over twice. */
static unsigned long gmem_fixture_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

static int gmem_fixture_preserve_pages(struct address_space *mapping, struct gmem_fixture_page *pages, u64 *count,
				       u64 most)
{
	struct folio_batch batch;
	pgoff_t index = 0;
	int err = 0;

	folio_batch_init(&batch);
	while (!err && filemap_get_folios(mapping, &index, ULONG_MAX, &batch)) {
		for (unsigned int i = 0; i < folio_batch_count(&batch) && !err; i++) {
			struct folio *folio = batch.folios[i];

			err = *count < most ? kho_preserve_folio(folio) : -EAGAIN;
			if (err)
				break;
			pages[*count].pfn = folio_pfn(folio);
			pages[*count].index = folio->index;
			pages[*count].uptodate = folio_test_uptodate(folio);
			++*count;
		}
		folio_batch_release(&batch);
		cond_resched();
	}

	return err;
}

static void gmem_fixture_unpreserve_pages(const struct gmem_fixture_page *pages, u64 count)
{
	while (count--)
		kho_unpreserve_folio(pfn_folio(pages[count].pfn));
}

static int gmem_fixture_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct address_space *mapping = inode->i_mapping;
	struct gmem_fixture_page *pages = NULL;
	struct gmem_fixture_ser *ser;
	u64 most;
	int err;

	ser = kho_alloc_preserve(sizeof(*ser));
	if (IS_ERR(ser))
		return PTR_ERR(ser);
	ser->size = i_size_read(inode);
	ser->flags = GMEM_I(inode)->flags;
	ser->count = 0;

	filemap_invalidate_lock(mapping);
	GMEM_I(inode)->flags |= GMEM_FIXTURE_FROZEN;
	/* A page that somebody is just about to add is counted by the freeze. */
	most = READ_ONCE(mapping->nrpages);
	if (most) {
		pages = vcalloc(most, sizeof(*pages));
		err = pages ? gmem_fixture_preserve_pages(mapping, pages, &ser->count, most) : -ENOMEM;
		if (!err)
			err = kho_preserve_vmalloc(pages, &ser->pages);
		if (err)
			goto unpreserve;
	}
	filemap_invalidate_unlock(mapping);
	args->private_data = pages;
	args->serialized_data = virt_to_phys(ser);

	return 0;

unpreserve:
	gmem_fixture_unpreserve_pages(pages, ser->count);
	GMEM_I(inode)->flags &= ~GMEM_FIXTURE_FROZEN;
	filemap_invalidate_unlock(mapping);
	vfree(pages);
	kho_unpreserve_free(ser);
	return err;
}

static void gmem_fixture_unpreserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct gmem_fixture_ser *ser = phys_to_virt(args->serialized_data);

	if (args->private_data) {
		kho_unpreserve_vmalloc(&ser->pages);
		gmem_fixture_unpreserve_pages(args->private_data, ser->count);
		vfree(args->private_data);
	}
	kho_unpreserve_free(ser);

	filemap_invalidate_lock(inode->i_mapping);
	GMEM_I(inode)->flags &= ~GMEM_FIXTURE_FROZEN;
	filemap_invalidate_unlock(inode->i_mapping);
}

static bool gmem_fixture_is_vm(struct file *file, const void *kvm)
{
	return file_is_kvm(file) && file->private_data == kvm;
}

static int gmem_fixture_freeze(struct liveupdate_file_op_args *args)
{
	struct gmem_fixture_ser *ser = phys_to_virt(args->serialized_data);
	struct gmem_file *gmem = args->file->private_data;

	if (READ_ONCE(args->file->f_mapping->nrpages) != ser->count)
		return -EAGAIN;

	return luo_fixture_token(args->set, gmem_fixture_is_vm, gmem->kvm, &ser->vm_token);
}

static struct file *gmem_fixture_make(struct luo_file_set *set, const struct gmem_fixture_ser *ser)
{
	struct file *vm, *file;
	int fd, err;

	err = luo_fixture_file(set, ser->vm_token, &vm);
	if (err)
		return ERR_PTR(err);
	fd = file_is_kvm(vm) ? __kvm_gmem_create(vm->private_data, ser->size, ser->flags) : -EINVAL;
	fput(vm);
	if (fd < 0)
		return ERR_PTR(fd);
	file = fget(fd);
	close_fd(fd);

	return file ?: ERR_PTR(-EBADF);
}

/* Each page goes into the mapping, or to nobody: none is left behind. */
static int gmem_fixture_fill(struct address_space *mapping, const struct gmem_fixture_page *pages, u64 count)
{
	int err = 0;

	for (u64 i = 0; i < count; i++) {
		struct folio *folio = kho_restore_folio(PFN_PHYS(pages[i].pfn));

		if (!folio) {
			err = err ?: -EIO;
			continue;
		}
		if (mapping && !err) {
			err = filemap_add_folio(mapping, folio, pages[i].index, mapping_gfp_mask(mapping));
			if (!err) {
				if (pages[i].uptodate)
					folio_mark_uptodate(folio);
				folio_unlock(folio);
			}
		}
		folio_put(folio);
	}

	return err;
}

/* `mapping` is NULL: nobody wants them. */
static int gmem_fixture_restore(struct address_space *mapping, struct gmem_fixture_ser *ser)
{
	struct gmem_fixture_page *pages;
	int err;

	if (!ser->count)
		return 0;
	pages = kho_restore_vmalloc(&ser->pages);
	if (!pages)
		return -EIO;
	err = gmem_fixture_fill(mapping, pages, ser->count);
	vfree(pages);

	return err;
}

static int gmem_fixture_retrieve(struct liveupdate_file_op_args *args)
{
	struct gmem_fixture_ser *ser = phys_to_virt(args->serialized_data);
	struct file *file = gmem_fixture_make(args->set, ser);
	int err;

	err = gmem_fixture_restore(IS_ERR(file) ? NULL : file->f_mapping, ser);
	kho_restore_free(ser);
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (err) {
		fput(file);
		return err;
	}
	args->file = file;

	return 0;
}

static void gmem_fixture_finish(struct liveupdate_file_op_args *args)
{
	struct gmem_fixture_ser *ser;

	if (args->retrieve_status)
		return;
	ser = phys_to_virt(args->serialized_data);
	gmem_fixture_restore(NULL, ser);
	kho_restore_free(ser);
}

static const struct liveupdate_file_ops gmem_fixture_ops = {
	.can_preserve = gmem_fixture_can_preserve,
	.get_id = gmem_fixture_get_id,
	.preserve = gmem_fixture_preserve,
	.unpreserve = gmem_fixture_unpreserve,
	.freeze = gmem_fixture_freeze,
	.retrieve = gmem_fixture_retrieve,
	.finish = gmem_fixture_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler gmem_fixture_handler = {
	.ops = &gmem_fixture_ops,
	.compatible = "guest_memfd_luo_v1",
};

LUO_FIXTURE_REGISTER(gmem_fixture_handler);

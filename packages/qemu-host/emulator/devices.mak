# What a host's machine is made of (Machine.ts), and what may be added to it: `extra` of a machine's specification.
CONFIG_Q35=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
# Devices to hand to guests: an IOMMU, an NVMe disk, and a device made for trying things out.
CONFIG_VTD=y
CONFIG_NVME_PCI=y
CONFIG_EDU=y

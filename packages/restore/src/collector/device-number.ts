/** A device as the kernel has it inside, and in images: 12 bits major, 20 bits minor. `device` is that of stat(2). */
export const kernelDevice = (device: bigint): number => ((majorOf(device) << 20) | minorOf(device)) >>> 0

export const majorOf = (device: bigint): number =>
  Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn))

export const minorOf = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xfff00n))

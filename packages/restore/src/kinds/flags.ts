/** Flags of open(2) (asm/fcntl.h) as the image has them, where Linux's architectures agree or differ. */
const isArm = process.arch === 'arm64'

export const O_ACCMODE = 0o3
export const O_WRONLY = 0o1
export const O_RDWR = 0o2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_NOCTTY = 0o400
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_NONBLOCK = 0o4000
export const O_ASYNC = 0o20000
export const O_DIRECT: number = isArm ? 0o200000 : 0o40000
export const O_DIRECTORY: number = isArm ? 0o40000 : 0o200000
export const O_NOFOLLOW: number = isArm ? 0o100000 : 0o400000
export const O_LARGEFILE: number = isArm ? 0o400000 : 0o100000
export const O_NOATIME = 0o1000000
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
/** The bit of O_TMPFILE that is not O_DIRECTORY. */
export const O_TMPFILE_BIT = 0o20000000
export const AT_FDCWD = -100
export const F_SETFL = 4
export const F_SETSIG = 10
export const F_SETOWN_EX = 15
export const F_SETPIPE_SZ = 1031

/** What open(2) must not be given again: it would make, cut or refuse the file. */
export const onlyAtCreation: number = O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_TMPFILE_BIT
/** What F_SETFL can change. */
export const changeable: number = O_APPEND | O_ASYNC | O_NONBLOCK | O_DIRECT | O_NOATIME

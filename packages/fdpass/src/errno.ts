/** Errno values as calls into native code return them. */
export const EAFNOSUPPORT = -97
export const EAGAIN = -11
export const EADDRINUSE = -98
export const EBADF = -9
export const EBUSY = -16
export const ECANCELED = -125
export const ECONNREFUSED = -111
export const EINVAL = -22
export const EMSGSIZE = -90
export const ENOBUFS = -105
export const ENOPROTOOPT = -92
export const EOPNOTSUPP = -95
export const EPIPE = -32
export const EPROTO = -71
export const ETIMEDOUT = -110
export const ETOOMANYREFS = -109

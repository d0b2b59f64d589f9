/** Attributes of a door: names and values of doors(3DOOR). */
export const DOOR_UNREF = 0x01
export const DOOR_PRIVATE = 0x02
export const DOOR_LOCAL = 0x04
export const DOOR_REVOKED = 0x08
export const DOOR_UNREF_MULTI = 0x10
export const DOOR_IS_UNREF = 0x20
export const DOOR_REFUSE_DESC = 0x40
export const DOOR_NO_CANCEL = 0x80
export const DOOR_NO_DEPLETION_CB = 0x100

/** Parameters of a door (door_getparam(3C)). */
export const DOOR_PARAM_DESC_MAX = 1
export const DOOR_PARAM_DATA_MAX = 2
export const DOOR_PARAM_DATA_MIN = 3
export type DoorParam = typeof DOOR_PARAM_DESC_MAX | typeof DOOR_PARAM_DATA_MAX | typeof DOOR_PARAM_DATA_MIN

/** Attributes that `createDoor` takes. */
export const CREATE_MASK: number = DOOR_UNREF | DOOR_UNREF_MULTI | DOOR_REFUSE_DESC | DOOR_NO_CANCEL

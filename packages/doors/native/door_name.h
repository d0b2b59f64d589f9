// Names of a door in the file system: calls that Node's own fs has not.
#ifndef X_DOORS_DOOR_NAME_H_
#define X_DOORS_DOOR_NAME_H_

namespace doors {

// Each returns 0 or a negative errno.

// Two paths change their files, in one step (renameat2(2), RENAME_EXCHANGE).
int Exchange(const char* one, const char* other);
// A further name for the file of an O_PATH descriptor. EEXIST when the path is taken, in the same step.
int Link(int descriptor, const char* path);

}  // namespace doors

#endif  // X_DOORS_DOOR_NAME_H_

// The doors and the sessions that this process serves, by number: all its threads see the same.
#ifndef X_DOORS_SERVICE_H_
#define X_DOORS_SERVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "descriptor.h"
#include "door.h"
#include "registry.h"
#include "server_session.h"

namespace doors {

Registry<Door>& Doors();
Registry<ServerSession>& Sessions();

// A new door's number, or EINVAL for a page that is none. The page's file is borrowed.
int OpenDoor(int page, std::string source, const void* owner);
// Ends it, and its sessions. EBADF when there is none.
int CloseDoor(uint32_t number);
// All whose owner has gone.
void CloseDoorsOf(const void* owner);
// Those that are not closed.
std::vector<uint32_t> SessionsOf(uint32_t door);

// A new session's number, or a negative errno. An area is sent where the client has asked for one.
int OpenSession(Descriptor socket, uint32_t door, uint32_t flags);
// As of ServerSession; kGone when there is none.
int Reply(uint32_t session, uint32_t sequence, const Answer& answer, bool lingers);
int CloseSession(uint32_t session);

// Answers what a thread runs, which says so as it ends: whoever looks after its sessions may be waiting for
// one of these answers itself.
void ThreadEnds(int thread);
// The same, of a thread that is no more. The sessions that somebody has to look after, also of ThreadEnds.
std::vector<uint32_t> ThreadGone(int thread);

}  // namespace doors

#endif  // X_DOORS_SERVICE_H_

// Replies on their way out: what does not go at once waits here, and depends on nobody.
#ifndef X_DOORS_OUTGOING_H_
#define X_DOORS_OUTGOING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "descriptor_list.h"
#include "memory.h"
#include "rights.h"

namespace doors {

class Outgoing {
 public:
  // Sends the message, behind those that wait. 0: it is out. EAGAIN: it waits, with a copy of its data and
  // duplicates of its descriptors. `call`: a call of the door's has ended with it. Another negative errno: it
  // is not here; the session is not to be used any more if message.begun is set.
  int Add(int socket, Message& message, bool call);

  // Sends what goes. 0, EAGAIN, or another negative errno; `ended` counts the calls whose replies are out.
  int Flush(int socket, uint32_t& ended);

  // Drops all. Returns how many calls have ended with it.
  uint32_t Clear();

  // Whether a call or a reply of this sequence waits.
  bool Has(uint32_t sequence) const;
  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

 private:
  struct Waiting {
    Message message;
    Memory data;
    DescriptorList descriptors;
    bool call = false;
  };

  int Keep(const Message& message, bool call);

  std::vector<Waiting> waiting_;
};

}  // namespace doors

#endif  // X_DOORS_OUTGOING_H_

#pragma once

#include <cstddef>
#include <cstdint>

#include "head.h"

namespace http1 {

// A field takes four numbers in the span list: position and length of its name, then of its value.
inline constexpr uint32_t kFieldStride = 4;

// Parses one request head at the start of `data`, strictly after RFC 9112 sections 2 to 6: every line ends in
// CRLF, nothing is repaired. Up to two empty lines before it are passed over. `fields` holds limits.fields
// entries of kFieldStride; their positions are counted from `data` and have `base` added.
// kPartial: more bytes are needed, and these break no rule so far. kRefused: `refusal` says why.
Progress ParseHead(const char* data, size_t size, const HeadLimits& limits, uint32_t base, int32_t* fields,
                   Head& head, Refusal& refusal);

}  // namespace http1

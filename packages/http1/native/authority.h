#pragma once

#include <string_view>

namespace http1 {

// Whether `text` is uri-host [ ":" port ] with a host that is not empty and without userinfo (RFC 9110 7.2).
bool IsAuthority(std::string_view text);

}  // namespace http1

// The arguments of one call from JavaScript. What is missing or of another type makes it bad, and is refused.
#ifndef X_DOORS_ADDON_CALL_H_
#define X_DOORS_ADDON_CALL_H_

#include <napi.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "addon_environment.h"

namespace doors {

template <typename T>
struct View {
  T* data = nullptr;
  size_t length = 0;
};

class Call {
 public:
  static constexpr size_t kMostArguments = 6;

  Call(napi_env env, napi_callback_info info) : env_(env) {
    napi_get_cb_info(env, info, &count_, values_, nullptr, reinterpret_cast<void**>(&environment_));
    count_ = std::min(count_, kMostArguments);
  }

  Environment& environment() const { return *environment_; }
  const Exchange& exchange() const { return environment_->exchange(); }
  napi_env env() const { return env_; }
  // An argument that was asked for is none.
  bool bad() const { return bad_; }

  int32_t Int(size_t index) {
    int32_t value = 0;
    Check(index < count_ && napi_get_value_int32(env_, values_[index], &value) == napi_ok);
    return value;
  }

  uint32_t Unsigned(size_t index) {
    uint32_t value = 0;
    Check(index < count_ && napi_get_value_uint32(env_, values_[index], &value) == napi_ok);
    return value;
  }

  double Double(size_t index) {
    double value = 0;
    Check(index < count_ && napi_get_value_double(env_, values_[index], &value) == napi_ok);
    return value;
  }

  // False when it is not there.
  bool Bool(size_t index) {
    bool value = false;
    if (Has(index)) Check(napi_get_value_bool(env_, values_[index], &value) == napi_ok);
    return value;
  }

  // Empty when it is null or not there.
  View<char> Bytes(size_t index) { return Elements<char>(index, napi_uint8_array); }
  View<int32_t> Ints(size_t index) { return Elements<int32_t>(index, napi_int32_array); }

  napi_value Return(int64_t number) const {
    napi_value value = nullptr;
    napi_create_int32(env_, static_cast<int32_t>(number), &value);
    return value;
  }

  // An ArrayBuffer with a copy. Undefined where this thread is being terminated: nothing can be made there
  // any more.
  napi_value ReturnCopy(const void* from, size_t size) const {
    napi_value value = nullptr;
    void* data = nullptr;
    if (napi_create_arraybuffer(env_, size, &data, &value) != napi_ok) return nullptr;
    if (size > 0) memcpy(data, from, size);
    return value;
  }

  // The same, as an Int32Array.
  template <typename T>
  napi_value ReturnNumbers(const std::vector<T>& numbers) const {
    static_assert(sizeof(T) == sizeof(int32_t));
    napi_value value = nullptr;
    const napi_value copy = ReturnCopy(numbers.data(), numbers.size() * sizeof(T));
    if (copy != nullptr) napi_create_typedarray(env_, napi_int32_array, numbers.size(), copy, 0, &value);
    return value;
  }

  napi_value ReturnBool(bool truth) const {
    napi_value value = nullptr;
    napi_get_boolean(env_, truth, &value);
    return value;
  }

 private:
  void Check(bool good) { bad_ = bad_ || !good; }

  bool Has(size_t index) const {
    napi_valuetype type = napi_undefined;
    return index < count_ && napi_typeof(env_, values_[index], &type) == napi_ok && type != napi_undefined &&
           type != napi_null;
  }

  template <typename T>
  View<T> Elements(size_t index, napi_typedarray_type wanted) {
    if (!Has(index)) return {};
    napi_typedarray_type type = napi_int8_array;
    View<T> view;
    void* data = nullptr;
    const napi_status status =
        napi_get_typedarray_info(env_, values_[index], &type, &view.length, &data, nullptr, nullptr);
    Check(status == napi_ok && type == wanted);
    if (bad_ || data == nullptr) return {};
    view.data = static_cast<T*>(data);
    return view;
  }

  napi_env env_;
  size_t count_ = kMostArguments;
  napi_value values_[kMostArguments];
  Environment* environment_ = nullptr;
  bool bad_ = false;
};

template <napi_value (*function)(Call&)>
napi_value Run(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return function(call);
}

struct Entry {
  const char* name;
  napi_callback function;
};

template <size_t count>
void Export(Napi::Object exports, Environment* environment, const Entry (&entries)[count]) {
  for (const Entry& entry : entries) {
    napi_value function = nullptr;
    napi_create_function(exports.Env(), entry.name, NAPI_AUTO_LENGTH, entry.function, environment, &function);
    exports.Set(entry.name, function);
  }
}

void ExportDoors(Napi::Object exports, Environment* environment);
void ExportSessions(Napi::Object exports, Environment* environment);
void ExportClients(Napi::Object exports, Environment* environment);
void ExportLoopClients(Napi::Object exports, Environment* environment);

}  // namespace doors

#endif  // X_DOORS_ADDON_CALL_H_

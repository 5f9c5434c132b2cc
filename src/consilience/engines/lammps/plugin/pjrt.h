// The part of the PJRT C interface (major version 0) that is needed to compile a program and run it on a CPU.
//
// Every argument struct starts with its size, by which a runtime knows what the caller knows; each one here ends in
// zeros, which stand for fields that later minor versions append (null and 0 are their defaults). The table of functions
// is one of pointers, after a fixed head, whose order is kept within a major version.
// SPDX-License-Identifier: MIT
#ifndef CONSIL_PJRT_H
#define CONSIL_PJRT_H

#include <cstddef>
#include <cstdint>

namespace pjrt {

struct Error;
struct Event;
struct Client;
struct Device;
struct Executable;
struct Buffer;

enum Function {
  ERROR_DESTROY = 0,
  ERROR_MESSAGE = 1,
  PLUGIN_INITIALIZE = 3,
  EVENT_DESTROY = 5,
  EVENT_AWAIT = 8,
  CLIENT_CREATE = 10,
  CLIENT_ADDRESSABLE_DEVICES = 16,
  CLIENT_COMPILE = 20,
  CLIENT_BUFFER_FROM_HOST_BUFFER = 22,
  LOADED_EXECUTABLE_EXECUTE = 55,
  BUFFER_DESTROY = 58,
  BUFFER_TO_HOST_BUFFER = 70,
};

enum Kind : int { S32 = 4, F64 = 12 };                   // element types of buffers
enum Semantics : int { IMMUTABLE_DURING_CALL = 0 };    // of data handed to a buffer

struct Api {
  std::size_t size;
  void *extension;
  struct {
    std::size_t size;
    void *extension;
    int major, minor;
  } version;
  void *functions[1];    // more follow
  bool has(Function f) const { return size >= offsetof(Api, functions) + (f + 1) * sizeof(void *); }
};

struct Later {
  void *zero[24] = {};
};

struct Head {
  std::size_t size = 0;
  void *extension = nullptr;
};

struct ErrorDestroy : Head {
  Error *error = nullptr;
  Later later;
};
struct ErrorMessage : Head {
  const Error *error = nullptr;
  const char *message = nullptr;
  std::size_t length = 0;
  Later later;
};
struct PluginInitialize : Head {
  Later later;
};
struct EventArgs : Head {    // of both destroy and await
  Event *event = nullptr;
  Later later;
};
struct Option : Head {    // no zeros after it: options lie in an array
  const char *name = nullptr;
  std::size_t name_size = 0;
  int kind = 4;    // a truth value
  union {
    bool truth;
    std::int64_t number = 0;
  };
  std::size_t value_size = 1;
};
struct ClientCreate : Head {
  const Option *options = nullptr;
  std::size_t num_options = 0;
  void *get_callback = nullptr, *get_argument = nullptr, *put_callback = nullptr, *put_argument = nullptr;
  Client *client = nullptr;
  Later later;
};
struct ClientDevices : Head {
  Client *client = nullptr;
  Device *const *devices = nullptr;
  std::size_t num_devices = 0;
  Later later;
};
struct Program : Head {
  const char *code = nullptr;
  std::size_t code_size = 0;
  const char *format = nullptr;
  std::size_t format_size = 0;
  Later later;
};
struct ClientCompile : Head {
  Client *client = nullptr;
  const Program *program = nullptr;
  const char *options = nullptr;
  std::size_t options_size = 0;
  Executable *executable = nullptr;
  Later later;
};
struct BufferFromHost : Head {
  Client *client = nullptr;
  const void *data = nullptr;
  Kind kind = F64;
  const std::int64_t *dims = nullptr;
  std::size_t num_dims = 0;
  const std::int64_t *strides = nullptr;
  std::size_t num_strides = 0;
  Semantics semantics = IMMUTABLE_DURING_CALL;
  Device *device = nullptr;
  void *memory = nullptr, *layout = nullptr;
  Event *done = nullptr;
  Buffer *buffer = nullptr;
  Later later;
};
struct ExecuteOptions : Head {
  void *send = nullptr, *receive = nullptr;
  std::size_t num_send = 0, num_receive = 0;
  int launch = 0;
  Later later;
};
struct Execute : Head {
  Executable *executable = nullptr;
  ExecuteOptions *options = nullptr;
  Buffer *const *const *arguments = nullptr;
  std::size_t num_devices = 1, num_arguments = 0;
  Buffer **const *outputs = nullptr;
  Event **done = nullptr;
  Device *device = nullptr;
  Later later;
};
struct BufferDestroy : Head {
  Buffer *buffer = nullptr;
  Later later;
};
struct BufferToHost : Head {
  Buffer *buffer = nullptr;
  void *layout = nullptr;
  void *data = nullptr;
  std::size_t size_of_data = 0;
  Event *event = nullptr;
  Later later;
};

}    // namespace pjrt
#endif

{
  'targets': [
    {
      'target_name': 'addon',
      'sources': [
        'addon.cc',
        'address_limit.cc',
        'authority.cc',
        'body_decoder.cc',
        'byte_buffer.cc',
        'connection.cc',
        'engine.cc',
        'engine_read.cc',
        'engine_write.cc',
        'framing.cc',
        'hand_over.cc',
        'head_parser.cc',
        'ledger.cc',
        'listener.cc',
        'request_line.cc',
        'response_head.cc',
      ],
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
      'defines': [
        'NAPI_VERSION=9',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
        # A call made while a worker is being terminated cannot throw; it must not abort the process either.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'cflags_cc': ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden'],
      # nodelete: queues and connections outlive the worker that loaded the addon.
      'ldflags': ['-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,-z,relro'],
    },
  ],
}

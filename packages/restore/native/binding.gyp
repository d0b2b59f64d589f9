{
  'targets': [
    {
      'target_name': 'addon',
      'sources': [
        'addon.cc',
        'descriptor_look.cc',
        'file_extents.cc',
        'file_name.cc',
        'pipe_content.cc',
        'socket_diagnosis.cc',
        'socket_queue.cc',
        'tcp_connection.cc',
        'terminal_input.cc',
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
      # nodelete: a thread of the addon's may still be in its code while the last thread that loaded it ends.
      'ldflags': ['-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,-z,relro', '-pthread'],
    },
    {
      # A program of its own: nothing of Node's is in it, and it needs no shared library, so that it starts and forks fast
      # and can run where the files of the system are not to be seen.
      'target_name': 'restore-helper',
      'type': 'executable',
      'product_extension': '',
      'sources': [
        'decoder.cc',
        'descriptor_table.cc',
        'helper.cc',
        'makers.cc',
        'numbers.cc',
        'signals.cc',
        'start_time.cc',
        'state.cc',
        'supervisor.cc',
        'task.cc',
        'task_operations.cc',
        'transfer.cc',
        'undo.cc',
      ],
      'cflags_cc': [
        '-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-fno-exceptions', '-fno-rtti', '-ffunction-sections',
      ],
      'ldflags!': ['-rdynamic'],
      'ldflags': ['-static', '-Wl,--gc-sections', '-Wl,-z,now', '-Wl,-z,relro'],
    },
  ],
}

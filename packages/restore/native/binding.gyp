{
  'targets': [
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

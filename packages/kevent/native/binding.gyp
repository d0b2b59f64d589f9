{
  'targets': [
    {
      'target_name': 'addon',
      'sources': [
        'addon.cc',
        'addon_consumption.cc',
        'addon_environment.cc',
        'filter_empty.cc',
        'filter_mount.cc',
        'filter_process.cc',
        'filter_signal.cc',
        'filter_vnode.cc',
        'interrupt_signal.cc',
        'kevent.cc',
        'knote_table.cc',
        'queue.cc',
        'queue_change.cc',
        'queue_deliver.cc',
        'queue_descriptor.cc',
        'queue_give_back.cc',
        'queue_name.cc',
        'queue_recheck.cc',
        'ready_queue.cc',
        'sentinel.cc',
        'signal_watch.cc',
        'timer_heap.cc',
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

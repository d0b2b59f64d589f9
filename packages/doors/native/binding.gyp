{
  'targets': [
    {
      'target_name': 'addon',
      'sources': [
        'addon.cc',
        'addon_client.cc',
        'addon_doors.cc',
        'addon_environment.cc',
        'addon_loop.cc',
        'addon_loop_client.cc',
        'addon_sessions.cc',
        'area.cc',
        'channel.cc',
        'client_area.cc',
        'client_session.cc',
        'door.cc',
        'door_name.cc',
        'info_page.cc',
        'loop_session.cc',
        'outgoing.cc',
        'packet.cc',
        'part.cc',
        'peer.cc',
        'rights.cc',
        'server_session.cc',
        'service.cc',
        'spin.cc',
        'vigil.cc',
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
      # nodelete: a cleanup hook may run while the last thread that loaded the addon ends.
      'ldflags': ['-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,-z,relro'],
    },
  ],
}


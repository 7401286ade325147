#ifndef CAIRN_CMICROHTTPD_SHIM_H
#define CAIRN_CMICROHTTPD_SHIM_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/// What Swift cannot reach: variadic calls, `MHD_OPTION_*`, and the parts of `tcp_info` that glibc's header leaves out.

struct cairn_mhd_settings {
  unsigned int threads;
  unsigned int connection_limit;
  size_t connection_memory;
  /// PEM texts, zero-terminated, that outlive the daemon; all NULL for plain HTTP.
  const char *key;
  const char *certificate;
  const char *client_trust;
  const char *priorities;
  void *context;
  MHD_AccessHandlerCallback handler;
  void *(*uri)(void *context, const char *uri, struct MHD_Connection *connection);
  size_t (*unescape)(void *context, struct MHD_Connection *connection, char *text);
  MHD_RequestCompletedCallback completed;
  MHD_NotifyConnectionCallback notify;
};

/// Starts a daemon without a listening socket: connections come by `MHD_add_connection`.
static inline struct MHD_Daemon *cairn_mhd_start(const struct cairn_mhd_settings *settings) {
  struct MHD_OptionItem options[8];
  int count = 0;
  unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
  memset(options, 0, sizeof(options));
  if (settings->threads > 1) {
    options[count].option = MHD_OPTION_THREAD_POOL_SIZE;
    options[count++].value = (intptr_t)settings->threads;
  }
  if (settings->certificate) {
    flags |= MHD_USE_TLS;
    options[count].option = MHD_OPTION_HTTPS_MEM_KEY;
    options[count++].ptr_value = (void *)settings->key;
    options[count].option = MHD_OPTION_HTTPS_MEM_CERT;
    options[count++].ptr_value = (void *)settings->certificate;
    options[count].option = MHD_OPTION_HTTPS_PRIORITIES;
    options[count++].ptr_value = (void *)settings->priorities;
    if (settings->client_trust) {
      options[count].option = MHD_OPTION_HTTPS_MEM_TRUST;
      options[count++].ptr_value = (void *)settings->client_trust;
    }
  }
  options[count].option = MHD_OPTION_END;
  return MHD_start_daemon(
      flags, 0, NULL, NULL, settings->handler, settings->context,
      MHD_OPTION_CONNECTION_LIMIT, settings->connection_limit,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, settings->connection_memory,
      MHD_OPTION_URI_LOG_CALLBACK, settings->uri, settings->context,
      MHD_OPTION_UNESCAPE_CALLBACK, settings->unescape, settings->context,
      MHD_OPTION_NOTIFY_COMPLETED, settings->completed, settings->context,
      MHD_OPTION_NOTIFY_CONNECTION, settings->notify, settings->context,
      MHD_OPTION_ARRAY, options,
      MHD_OPTION_END);
}

static inline int cairn_mhd_socket(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info ? (int)info->connect_fd : -1;
}

static inline void *cairn_mhd_socket_context(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info ? info->socket_context : NULL;
}

/// Bytes of the request line and the header fields together.
static inline size_t cairn_mhd_header_size(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  return info ? info->header_size : 0;
}

/// 1 when the peer showed a certificate that the daemon's client trust vouches for.
static inline int cairn_mhd_client_is_trusted(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  unsigned int status = 0;
  if (!info || !info->tls_session) return 0;
  if (gnutls_certificate_verify_peers2((gnutls_session_t)info->tls_session, &status) != GNUTLS_E_SUCCESS) return 0;
  return status == 0;
}

static const char *const cairn_oid_unit = GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME;
static const char *const cairn_oid_common_name = GNUTLS_OID_X520_COMMON_NAME;

/// A field of the subject of the peer's own certificate as text; 1 when it is there. Says nothing of whether to trust it.
static inline int cairn_mhd_client_field(struct MHD_Connection *connection, const char *identifier, char *text, size_t size) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  const gnutls_datum_t *chain;
  unsigned int count = 0;
  gnutls_x509_crt_t certificate;
  int found;
  if (!info || !info->tls_session) return 0;
  chain = gnutls_certificate_get_peers((gnutls_session_t)info->tls_session, &count);
  if (!chain || count == 0 || gnutls_x509_crt_init(&certificate) != GNUTLS_E_SUCCESS) return 0;
  found = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == GNUTLS_E_SUCCESS &&
          gnutls_x509_crt_get_dn_by_oid(certificate, identifier, 0, 0, text, &size) == GNUTLS_E_SUCCESS;
  gnutls_x509_crt_deinit(certificate);
  return found;
}

static inline int cairn_mhd_each_header(struct MHD_Connection *connection, MHD_KeyValueIteratorN each, void *context) {
  return MHD_get_connection_values_n(connection, MHD_HEADER_KIND, each, context);
}

/// A response whose bytes are copied.
static inline struct MHD_Response *cairn_mhd_response_copying(const void *bytes, size_t size) {
  return MHD_create_response_from_buffer(size, (void *)bytes, size ? MHD_RESPMEM_MUST_COPY : MHD_RESPMEM_PERSISTENT);
}

/// `size` UINT64_MAX says that it is not known.
static inline struct MHD_Response *cairn_mhd_response_streaming(
    uint64_t size, size_t block, MHD_ContentReaderCallback read, void *context, MHD_ContentReaderFreeCallback release) {
  return MHD_create_response_from_callback(size, block, read, context, release);
}

static const enum MHD_Result cairn_mhd_yes = MHD_YES;
static const enum MHD_Result cairn_mhd_no = MHD_NO;
static const enum MHD_ConnectionNotificationCode cairn_mhd_started = MHD_CONNECTION_NOTIFY_STARTED;
static const enum MHD_RequestTerminationCode cairn_mhd_completed = MHD_REQUEST_TERMINATED_COMPLETED_OK;
static const ssize_t cairn_mhd_end_of_stream = -1;
static const ssize_t cairn_mhd_end_with_error = -2;

extern int prctl(int, ...);

/// Names the calling thread, as far as 15 bytes go, for profilers.
static inline void cairn_thread_name(const char *name) { prctl(15 /* PR_SET_NAME */, name, 0, 0, 0); }

extern int accept4(int, struct sockaddr *, socklen_t *, int);

/// Accepts one connection whose descriptor does not block and is not inherited.
static inline int cairn_accept(int listener, struct sockaddr_storage *address, socklen_t *length) {
  *length = sizeof(*address);
  return accept4(listener, (struct sockaddr *)address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/// The front of the kernel's `tcp_info`, whose layout is fixed for good; glibc's own copy ends before the field that is wanted.
struct cairn_tcp_info {
  unsigned char before[120];
  uint64_t bytes_acked;
};

/// Bytes that the peer has acknowledged since the connection began; -1 when the system does not say.
static inline int64_t cairn_tcp_bytes_acknowledged(int descriptor) {
  struct cairn_tcp_info info;
  socklen_t length = sizeof(info);
  memset(&info, 0, sizeof(info));
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || length < sizeof(info)) return -1;
  return (int64_t)info.bytes_acked;
}

#endif

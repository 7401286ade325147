#ifndef CAIRN_CCURL_SHIM_H
#define CAIRN_CCURL_SHIM_H

#include <curl/curl.h>
#include <stdint.h>

/// libcurl's setters are variadic, which Swift cannot call; one shim per type of argument.

static inline CURLcode cairn_curl_set_long(CURL *easy, CURLoption option, long value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode cairn_curl_set_size(CURL *easy, CURLoption option, int64_t value) {
  return curl_easy_setopt(easy, option, (curl_off_t)value);
}

static inline CURLcode cairn_curl_set_pointer(CURL *easy, CURLoption option, const void *value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode cairn_curl_set_string(CURL *easy, CURLoption option, const char *value) {
  return curl_easy_setopt(easy, option, value);
}

/// The bytes are copied.
static inline CURLcode cairn_curl_set_blob(CURL *easy, CURLoption option, const void *bytes, size_t length) {
  struct curl_blob blob;
  blob.data = (void *)bytes;
  blob.len = length;
  blob.flags = CURL_BLOB_COPY;
  return curl_easy_setopt(easy, option, &blob);
}

typedef size_t (*cairn_curl_transfer)(char *bytes, size_t size, size_t count, void *context);
typedef int (*cairn_curl_seek)(void *context, curl_off_t offset, int origin);

static inline CURLcode cairn_curl_set_transfer(CURL *easy, CURLoption option, cairn_curl_transfer function) {
  return curl_easy_setopt(easy, option, function);
}

static inline CURLcode cairn_curl_set_seek(CURL *easy, cairn_curl_seek function) {
  return curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, function);
}

typedef int (*cairn_curl_on_request)(
    void *context, char *remote_address, char *local_address, int remote_port, int local_port);

/// Who is asked before a request is sent over a connection, each time that it is.
static inline CURLcode cairn_curl_set_on_request(CURL *easy, cairn_curl_on_request function, void *context) {
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, context);
  return curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, function);
}

static inline CURLMcode cairn_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return curl_multi_setopt(multi, option, value);
}

typedef int (*cairn_curl_on_socket)(CURL *easy, curl_socket_t socket, int what, void *context, void *of_socket);
typedef int (*cairn_curl_on_timer)(CURLM *multi, long milliseconds, void *context);

/// Whom libcurl tells which sockets it waits for and when it wants to be called at the latest.
static inline void cairn_curl_multi_observe(
    CURLM *multi, cairn_curl_on_socket on_socket, cairn_curl_on_timer on_timer, void *context) {
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, context);
}

static inline long cairn_curl_response_code(CURL *easy) {
  long code = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
  return code;
}

/// 1 once a connection was found or made and the transfer itself goes on; before that, limits of connections may hold it back.
static inline int cairn_curl_has_begun(CURL *easy) {
  curl_off_t microseconds = 0;
  curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &microseconds);
  return microseconds > 0;
}

static inline void *cairn_curl_private(CURL *easy) {
  char *context = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &context);
  return context;
}

/// The finished transfer of a message, NULL when the message says something else; `result` is set with it.
static inline CURL *cairn_curl_done(const CURLMsg *message, CURLcode *result) {
  if (message->msg != CURLMSG_DONE) return NULL;
  *result = message->data.result;
  return message->easy_handle;
}

static const size_t cairn_curl_read_pause = CURL_READFUNC_PAUSE;
static const size_t cairn_curl_read_abort = CURL_READFUNC_ABORT;
static const int cairn_curl_request_ok = CURL_PREREQFUNC_OK;
static const int cairn_curl_request_abort = CURL_PREREQFUNC_ABORT;
static const int cairn_curl_pause_none = CURLPAUSE_CONT;

static const curl_socket_t cairn_curl_timeout = CURL_SOCKET_TIMEOUT;

#endif

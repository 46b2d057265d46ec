// SPDX-License-Identifier: MIT
//
// libcurl by dlopen: the few functions that remote_model needs. Internal to remote_model (remote.h).

#ifndef LAMINA_MODEL_RUNTIME_REMOTE_CURL_H
#define LAMINA_MODEL_RUNTIME_REMOTE_CURL_H

#include <curl/curl.h>

#define REMOTE_CURL_FUNCTIONS(X)                                                                   \
    X(CURLcode, global_init, (long flags))                                                         \
    X(CURL *, easy_init, (void) )                                                                  \
    X(void, easy_cleanup, (CURL * easy))                                                           \
    X(void, easy_reset, (CURL * easy))                                                             \
    X(CURLcode, easy_setopt, (CURL * easy, CURLoption option, ...))                                \
    X(CURLcode, easy_getinfo, (CURL * easy, CURLINFO info, ...))                                   \
    X(const char *, easy_strerror, (CURLcode code))                                                \
    X(struct curl_slist *, slist_append, (struct curl_slist * list, const char *text))             \
    X(void, slist_free_all, (struct curl_slist * list))                                            \
    X(CURLM *, multi_init, (void) )                                                                \
    X(CURLMcode, multi_cleanup, (CURLM * multi))                                                   \
    X(CURLMcode, multi_add_handle, (CURLM * multi, CURL * easy))                                   \
    X(CURLMcode, multi_remove_handle, (CURLM * multi, CURL * easy))                                \
    X(CURLMcode, multi_perform, (CURLM * multi, int *running))                                     \
    X(CURLMcode, multi_poll,                                                                       \
      (CURLM * multi, struct curl_waitfd * more, unsigned count, int timeout_ms, int *ready))      \
    X(CURLMsg *, multi_info_read, (CURLM * multi, int *left))

#define REMOTE_CURL_MEMBER(type, name, arguments) type(*name) arguments;
struct remote_curl {
    REMOTE_CURL_FUNCTIONS(REMOTE_CURL_MEMBER)
};
#undef REMOTE_CURL_MEMBER

#endif

#ifndef CAIRN_CPOSTGRESQL_SHIM_H
#define CAIRN_CPOSTGRESQL_SHIM_H

#include <libpq-fe.h>

#endif

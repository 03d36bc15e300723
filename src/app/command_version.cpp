#include <iostream>

#include <openssl/crypto.h>
#include <sqlite3.h>
#include <zstd.h>
#include <boost/version.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

int version(const arguments& args)
{
    if (!parse(args, "version", {}))
        return exit_done;
    std::cout << "dtbridge " << program_version << '\n'
              << OpenSSL_version(OPENSSL_VERSION) << '\n'
              << "SQLite " << sqlite3_libversion() << '\n'
              << "zstd " << ZSTD_versionString() << '\n'
              << "Boost " << BOOST_VERSION / 100000 << '.' << BOOST_VERSION / 100 % 1000 << '.'
              << BOOST_VERSION % 100 << '\n';
    return exit_done;
}

}  // namespace dtbridge::app

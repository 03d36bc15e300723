#include "app/reload.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

#include "support/temp_dir.hpp"
#include "support/variable.hpp"

using namespace dtbridge;

namespace
{

void write(const std::string& file, const std::string& text)
{
    std::ofstream(file) << text;
}

std::string digest(const poll::master_options& m)
{
    return app::files_digest(app::connection_files(m));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_reload_sees_that_the_systems_bundle_changed_where_it_counts)
{
    const test::temp_dir folder;
    const std::string bundle = folder / "bundle.pem", own = folder / "own.pem";
    write(bundle, "one");
    write(own, "own");
    const test::variable system("SSL_CERT_FILE", bundle);
    poll::master_options by_system, by_file, by_pin, by_nothing;
    by_file.tls.ca_file = own;
    by_pin.tls.fingerprint_sha256 = std::string(64, 'a');
    by_nothing.tls.verify = false;
    const auto system_before = digest(by_system), file_before = digest(by_file), pin_before = digest(by_pin),
               nothing_before = digest(by_nothing);
    BOOST_TEST(digest(by_system) == system_before);
    write(bundle, "two");
    BOOST_TEST(digest(by_system) != system_before);
    BOOST_TEST(digest(by_file) == file_before);
    BOOST_TEST(digest(by_pin) == pin_before);
    BOOST_TEST(digest(by_nothing) == nothing_before);
    write(own, "renewed");
    BOOST_TEST(digest(by_file) != file_before);
}

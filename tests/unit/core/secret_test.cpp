#include <dtbridge/core/failure.hpp>
#include <dtbridge/core/secret.hpp>

#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>

#include <concepts>
#include <ostream>

using namespace dtbridge;

template <class T>
concept printable = requires(std::ostream& out, const T& value)
{
    out << value;
};
static_assert(!printable<secret>);

BOOST_AUTO_TEST_SUITE(secrets_and_failures)

BOOST_AUTO_TEST_CASE(a_secret_is_copied_moved_and_compared)
{
    const std::string token = "7chbwad4hl4n5ok69e2edrs2ogpiqy8ldd5oozdb";
    secret a{token};
    BOOST_TEST(a.reveal() == token);
    BOOST_TEST(a.equals(token));
    BOOST_TEST(!a.equals(token.substr(1)));
    BOOST_TEST(!a.equals("8" + token.substr(1)));
    secret b = a;
    BOOST_TEST((b == a));
    secret c = std::move(b);
    BOOST_TEST(b.empty());
    BOOST_TEST(c.reveal() == token);
    b = std::move(c);
    BOOST_TEST(c.empty());
    BOOST_TEST(b.reveal() == token);
    c = b;
    const secret& same = c;
    c = same;
    BOOST_TEST(c.reveal() == token);
    c = secret("short");
    BOOST_TEST(c.reveal() == "short");
    BOOST_TEST(secret().empty());
    BOOST_TEST(secret().equals(""));
}

BOOST_AUTO_TEST_CASE(a_failure_that_is_thrown_keeps_its_words)
{
    const outcome<int> bad = fail(errc::over_limit, "the answer has 65 MiB, at most 64 MiB are taken");
    BOOST_CHECK_EXCEPTION(bad.value(), boost::system::system_error, [](const boost::system::system_error& e) {
        return e.code() == errc::over_limit && std::string(e.what()).find("65 MiB") != std::string::npos;
    });
    BOOST_TEST(make_error_code(errc::locked).message() == "held by another process");
    BOOST_TEST(!make_error_code(errc::ok).failed());
    BOOST_TEST((make_error_code(errc::locked) != make_error_code(errc::refused)));
}

BOOST_AUTO_TEST_SUITE_END()

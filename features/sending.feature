@http
Feature: Sending messages over HTTP

  A customer's application calls /send. When it is answered Success the message is kept
  safely and leaves for the SMSC as it was asked for.

  Scenario Outline: A message by <method>
    Given a running gateway
    When a message is sent by <method> with:
      | to      | +33612345678 |
      | from    | Shop         |
      | content | Hello {€*2}! |
    Then it is accepted
    And the SMSC gets a message with:
      | source_addr            | Shop         |
      | destination_addr       | +33612345678 |
      | text                   | Hello €€!    |
      | short_message          | 48656c6c6f201b651b6521 |
      | esm_class              | 0x03         |
      | data_coding            | 0            |
      | registered_delivery    | 0            |
      | priority_flag          | 0            |
      | schedule_delivery_time |              |
      | validity_period        |              |

    Examples:
      | method |
      | GET    |
      | POST   |
      | JSON   |

  Scenario: What the sender leaves open is the connector's
    Given the connector has:
      | src_addr   | 1234 |
      | src_ton    | 5    |
      | src_npi    | 8    |
      | dst_ton    | 2    |
      | dst_npi    | 9    |
      | priority   | 2    |
      | validity   | 3600 |
      | proto_id   | 65   |
      | coding     | 3    |
      | def_msg_id | 7    |
      | ripf       | 1    |
    And a running gateway
    When a message is sent with:
      | content | café |
    Then it is accepted
    And the SMSC gets a message with:
      | source_addr             | 1234 |
      | source_addr_ton         | 5    |
      | source_addr_npi         | 8    |
      | dest_addr_ton           | 2    |
      | dest_addr_npi           | 9    |
      | priority_flag           | 2    |
      | validity_period         | /0000000000595\d000R\|000000010000000R/ |
      | protocol_id             | 65   |
      | data_coding             | 3    |
      | short_message           | 636166e9 |
      | sm_default_msg_id       | 7    |
      | replace_if_present_flag | 1    |

  Scenario: What the sender says is stronger than the connector
    Given the connector has:
      | src_addr | 1234 |
      | priority | 1    |
      | validity | 3600 |
      | coding   | 3    |
    And a running gateway
    When a message is sent with:
      | from            | 5678             |
      | priority        | 3                |
      | validity-period | 1440             |
      | sdt             | 000000000100000R |
      | coding          | 0                |
    Then it is accepted
    And the SMSC gets a message with:
      | source_addr            | 5678             |
      | source_addr_ton        | 2                |
      | source_addr_npi        | 1                |
      | dest_addr_ton          | 1                |
      | dest_addr_npi          | 1                |
      | priority_flag          | 3                |
      | validity_period        | /000000235959\d00R\|000001000000000R/ |
      | schedule_delivery_time | 000000000100000R |
      | data_coding            | 0                |

  Scenario Outline: <what> is refused
    Given a running gateway
    When a message is sent by <method> with:
      | <name> | <value> |
    Then the answer is <status> Error "<text>"
    And the SMSC gets nothing else

    Examples: documented errors
      | method | what                      | name            | value    | status | text                                                       |
      | GET    | No destination            | to              | (none)   | 400    | Mandatory argument [to] is not found.                      |
      | POST   | No username               | username        | (none)   | 400    | Mandatory argument [username] is not found.                |
      | JSON   | No password               | password        | (none)   | 400    | Mandatory argument [password] is not found.                |
      | GET    | No content                | content         | (none)   | 400    | content or hex-content not present.                        |
      | POST   | A destination of letters  | to              | Bob      | 400    | Argument [to] has an invalid value: [Bob].                 |
      | JSON   | An unknown argument       | colour          | red      | 400    | Argument [colour] is unknown.                              |
      | GET    | A wrong password          | password        | wrong    | 403    | Authentication failure for username:foo                    |
      | POST   | An unknown user           | username        | nobody   | 403    | Authentication failure for username:nobody                 |
      | GET    | An odd priority           | priority        | 4        | 400    | Argument [priority] has an invalid value: [4].             |
      | GET    | An odd coding             | coding          | 11       | 400    | Argument [coding] has an invalid value: [11].              |
      | JSON   | An odd validity           | validity-period | soon     | 400    | Argument [validity-period] has an invalid value: [soon].   |
      | POST   | An odd schedule           | sdt             | tomorrow | 400    | Argument [sdt] has an invalid value: [tomorrow].           |
      | GET    | An odd DLR level          | dlr-level       | 4        | 400    | Argument [dlr-level] has an invalid value: [4].            |
      | GET    | An odd DLR method         | dlr-method      | PUT      | 400    | Argument [dlr-method] has an invalid value: [PUT].         |
      | GET    | A DLR address without URL | dlr-url         | here     | 400    | Argument [dlr-url] has an invalid value: [here].           |
      | GET    | Odd hexadecimal digits    | hex-content     | 0g       | 400    | Invalid hex-content data: '0g'                             |

  Scenario: A message without a route is refused
    Given no route
    And a running gateway
    When a message is sent
    Then the answer is 412 Error "No route found"

  Scenario: Content and hex-content exclude each other
    Given a running gateway
    When a message is sent with:
      | hex-content | 00    |
      | content     | hello |
    Then the answer is 400 Error "content and hex-content cannot be used both in same request."

  Scenario: The gateway answers a ping
    Given a running gateway
    When the request "/ping" is made
    Then the answer is 200 Jasmin/PONG

  Scenario: The waiting messages of a connector are limited
    Given the SMSC is down
    And the connector has:
      | max_queue | 3 |
    And a running gateway
    When 1 clients send 3 messages each
    Then every answer was a Success
    When a message is sent
    Then the answer is 503

  @load
  Scenario: Many keep-alive clients at the same time
    Given the connector has:
      | window | 50 |
    And a running gateway
    When 50 clients send 20 messages each
    Then every answer was a Success
    And every client used one connection
    And every id was given once
    And the SMSC gets every accepted message once

  Scenario: The HTTP API speaks HTTPS
    Given the HTTP API has a certificate
    And a running gateway
    When the request "/send?username=foo&password=bar&to=06222172&content=hello" is made by HTTPS
    Then it is accepted
    And the SMSC gets a message with:
      | text | hello |
    When the request "/ping" is made by HTTPS
    Then the answer is 200 Jasmin/PONG
    When the request "/ping" is made
    Then the answer is 400

  Scenario: The HTTP API knows its clients by their certificates
    Given the HTTP API has a certificate
    And the HTTP API wants certificates of its clients
    And a running gateway
    Then the request "/ping" by HTTPS is not answered
    When the request "/send?username=foo&password=bar&to=06222172&content=hello" is made by HTTPS with a client's certificate
    Then it is accepted

  Scenario Outline: An address that may connect is answered: <allow>
    Given the setting [http-api] allow is "<allow>"
    And a running gateway
    When the request "<request>" is made
    Then the answer is <answer>

    Examples:
      | allow                   | request                            | answer                                   |
      | 10.0.0.0/8, 127.0.0.0/8 | /ping                              | 200 Jasmin/PONG                          |
      | 127.0.0.1               | /balance?username=foo&password=bar | 200 {"balance": "ND", "sms_count": "ND"} |

  Scenario Outline: An address that may not connect is told nothing: <allow>
    Given the setting [http-api] allow is "<allow>"
    And the setting [smpp-server] allow is "<allow>"
    And the setting [jcli] allow is "<allow>"
    And a running gateway
    Then connections to its doors are closed at once

    Examples:
      | allow                   |
      | 10.0.0.0/8, 2001:db8::1 |
      | 127.0.0.2               |

@http @content
Feature: The coding of a text

  Who does not want to think of alphabets has the gateway choose, and who writes to phones that
  know national tables may use them.

  Scenario Outline: The smallest coding that carries a text: <content>
    Given a running gateway
    When a message is sent by <method> with:
      | content | <content> |
      | coding  | auto      |
    Then it is accepted
    And the SMSC gets a message with:
      | data_coding | <coding>  |
      | text        | <content> |
      | part        | none      |

    Examples:
      | method | content     | coding |
      | GET    | 10 € [net]  | 0      |
      | POST   | café        | 0      |
      | JSON   | fête        | 8      |
      | GET    | Привет 😀   | 8      |

  Scenario: A long text in UCS2 keeps its surrogate pairs whole
    Given a running gateway
    When a message is sent by POST with:
      | content | {Ж*66}😀{я*10} |
      | coding  | auto           |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | data_coding | text     | octets |
      | 1 of 2 by udh | 8           | {Ж*66}   | 138    |
      | 2 of 2 by udh | 8           | 😀{я*10} | 30     |
    And the parts are the content together

  Scenario: A connector that chooses for those who do not say
    Given the connector has:
      | coding | auto |
    And a running gateway
    When a message is sent with:
      | content | fête |
    Then it is accepted
    And the SMSC gets a message with:
      | data_coding | 8    |
      | text        | fête |

  Scenario: Codings that the operator adds
    Given the setting [http-api] auto_codings is "0,3,8"
    And a running gateway
    When a message is sent with:
      | content | {ê*100} |
      | coding  | auto    |
    Then it is accepted
    And the SMSC gets a message with:
      | data_coding | 3       |
      | text        | {ê*100} |
      | octets      | 100     |

  Scenario Outline: National tables: <language>
    Given a running gateway
    When a message is sent with:
      | content  | <content>  |
      | language | <language> |
    Then it is accepted
    And the SMSC gets a message with:
      | data_coding   | 0         |
      | esm_class     | 0x40      |
      | text          | <content> |
      | short_message | /<start>.*/ |

    Examples:
      | language           | content      | start        |
      | turkish            | İyi akşamlar | 032401011b49 |
      | tr:locking         | İyi akşamlar | 0325010140   |
      | tr:both            | İyi akşamlar | 0625010124010140 |
      | es                 | Él está aquí | 03240102     |
      | portuguese:locking | Ação         | 03250103     |
      | hindi              | हिंदी भाषा   | 03250106     |

  Scenario: The price counts the parts that will leave
    Given a message part costs 2
    And the user "foo" has:
      | quota balance | 100 |
    And a running gateway
    When the request "/rate?username=foo&password=bar&to=1&coding=auto&content=%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96%D0%96" is made
    Then the answer is 200 {"unit_rate": 2.0, "submit_sm_count": 2}
    When a message is sent with:
      | content | {Ж*71} |
      | coding  | auto   |
    Then it is accepted
    And the SMSC gets 2 messages
    And "foo" has a balance of 96.0 and an sms_count of "ND"
